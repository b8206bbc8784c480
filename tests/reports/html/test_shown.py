"""The page of a model with very many layers: the worst of them, and the figures of all."""

import json

import pytest

from allennlp_analyze.reports.html.model import html_page
from allennlp_analyze.reports.html.shown import MOST_LAYERS, shown_layers
from allennlp_analyze.results.experts import ExpertGroup, table_entries
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.results.worst import worst_first_key
from tests.support.html_elements import Elements, words
from tests.support.mixtures import blocks

pytestmark = pytest.mark.newest_python
MOST, LARGEST_PAGE = 40, 30e6


@pytest.fixture(scope="module")
def report() -> ModelReport:
    return blocks(6)


def test_all_if_they_are_few(report: ModelReport) -> None:
    shown = shown_layers(report.layers, len(report.layers))
    assert shown.numbers == {place: place for place in range(len(report.layers))}
    assert list(shown.entries) == table_entries(report.layers)
    assert not shown.is_part
    assert shown.about() == ""


def test_every_row_and_then_the_worst(report: ModelReport) -> None:
    layers, entries = report.layers, table_entries(report.layers)
    shown = shown_layers(layers, MOST)
    assert list(shown.numbers) == sorted(shown.numbers)
    assert list(shown.numbers.values()) == list(range(MOST))
    assert list(shown.entries) == entries
    of_rows = {x.places[0] if isinstance(x, ExpertGroup) else x for x in entries}
    assert of_rows < set(shown.numbers)
    further = [worst_first_key(layers[place]) for place in set(shown.numbers) - of_rows]
    absent = [worst_first_key(x) for place, x in enumerate(layers) if place not in shown.numbers]
    assert max(further) <= min(absent)


def test_more_rows_than_the_page_may_have(report: ModelReport) -> None:
    shown = shown_layers(report.layers, 7)
    assert len(shown.numbers) == len(shown.entries) == 7
    assert all(entry.places[0] in shown.numbers for entry in shown.groups)
    worst = sorted(map(worst_first_key, report.layers))[:6]  # the dead expert of each block
    found = [worst_first_key(report.layers[place]) for place in shown.numbers]
    assert sorted(found)[:6] == worst


def test_what_is_said_of_the_layers(report: ModelReport) -> None:
    layers, rows = report.layers, len(table_entries(report.layers))
    said = "the worst of each projection of experts and of all others"
    assert (
        f"This page has {rows} of the {len(layers)} layers: {said}."
        in shown_layers(layers, rows).about()
    )
    fewer = shown_layers(layers, rows - 1)
    assert fewer.groups  # but not all of them
    assert f"This page has {rows - 1} of the {len(layers)} layers: the worst." in fewer.about()


def test_the_page_says_what_it_has_and_links_to_nothing_else(report: ModelReport) -> None:
    page = html_page(report, MOST)
    found = Elements(page)
    assert f"This page has {MOST} of the {len(report.layers)} layers" in words(page)
    assert "5 experts, worst: 3; 1 dead: 3; 1 collapsed: 1" in words(page)
    rows = [a for tag, a in found.tags if tag == "tr" and "data-index" in a]
    assert sorted(int(row["data-index"] or 0) for row in rows) == list(range(MOST))
    ids = {a.get("id") for _, a in found.tags}
    links = {str(a["href"])[1:] for tag, a in found.tags if tag == "a" and a.get("href")}
    assert {link for link in links if link.startswith("layer-")}
    assert links <= ids
    data = json.loads(found.data)
    named = [report.layers[place].name for place in data["places"]]
    assert [layer["name"] for layer in data["layers"]] == named
    alphas = [x["alpha"] for x in data["layers"]] + [x[-1] for x in data["others"]]
    every = [x.power_law.alpha for x in report.layers if x.power_law]
    assert sorted(x for x in alphas if x) == pytest.approx(sorted(every), rel=1e-4)


def test_a_hundred_thousand_layers_fit_on_a_page() -> None:
    report = blocks(20)
    rows = len(table_entries(report.layers))
    few, more = html_page(report, rows), html_page(report, rows + 100)
    others = json.loads(Elements(few).data)["others"]
    assert len(others) == len(report.layers) - rows
    of_other = max(len(json.dumps(other)) for other in others)
    of_shown = (len(more) - len(few)) / 100
    assert MOST_LAYERS * of_shown + 100_000 * of_other < LARGEST_PAGE
