"""compare.html: one file without anything outside it; what it shows is the comparison."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.analysis.delta import described
from allennlp_analyze.cli.main import main
from allennlp_analyze.compare.compare import compare_models
from allennlp_analyze.compare.reports.html import compare_html, write_compare_html
from allennlp_analyze.compare.reports.page import MARKS, compare_page_of
from allennlp_analyze.compare.reports.pairs import MEASURE_LABELS, pairs_on_page
from allennlp_analyze.compare.results import (
    CHANGES,
    MEASURES,
    ComparedModel,
    ComparisonReport,
    LayerDelta,
)
from allennlp_analyze.text.names import printable
from tests.compare.reports.test_json import full_comparison, odd_comparison
from tests.support.browser import chromium, opened
from tests.support.commands import SMALL
from tests.support.compared_models import INVALID, dead, healthy, model
from tests.support.html_elements import Elements, assert_nothing_outside_is_named, words
from tests.support.report_factory import gaussian, make_layer, make_report

pytestmark = pytest.mark.newest_python


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def test_nothing_outside_is_named() -> None:
    assert_nothing_outside_is_named(compare_html(full_comparison()))


def test_the_page_says_what_the_comparison_says() -> None:
    report = full_comparison()
    page = compare_html(report)
    text = words(page)
    for comparison in report.candidates:
        assert " ".join(comparison.sentence.split()) in text
        for failure in comparison.failures:
            assert f"{failure.layer}: {failure.reason}" in text
    assert "Only in A, not in B (1)" in text and "Only in B, not in A (1)" in text
    assert "contains NaN or infinity" in text and "Warnings (" in text
    data = json.loads(Elements(page).data)
    for candidate, comparison in zip(data["candidates"], report.candidates):
        for entry, pair in zip(candidate["pairs"], comparison.pairs):
            assert entry["spectrum"]["M"] == pair.candidate.M
            assert data["baseline"][entry["baseline"]]["M"] == pair.baseline.M
            shown = {label: values for label, *values in entry["measures"]}
            for name in MEASURES:
                number = pair.measure(name).candidate
                expected = "–" if number is None else float(f"{number:.4g}")
                found = shown[MEASURE_LABELS[name]][1]
                assert (found if number is None else float(found)) == expected


def test_the_page_has_the_mark_of_the_worst_candidate() -> None:
    same = full_comparison().baseline
    for candidates in ((full_comparison().candidates[0].candidate, same), (same, same)):
        report = compare_models(same, candidates)
        marks = [section.mark for section in compare_page_of(report).sections]
        invalid = bool(report.candidates[0].new_invalid)
        assert marks == ["invalid" if invalid else "not_assessed", "not_assessed"]
        assert compare_page_of(report).mark == marks[0]
        assert f'<header class="banner {marks[0]}">' in compare_html(report)


def test_every_measure_and_change_has_its_words() -> None:
    assert list(MEASURE_LABELS) == list(MEASURES) and all(MEASURE_LABELS.values())
    assert tuple(MARKS) == CHANGES


@pytest.mark.parametrize("make", [full_comparison, odd_comparison])
def test_the_same_comparison_makes_the_same_page(make: Any, tmp_path: Path) -> None:
    path = write_compare_html(make(), tmp_path / "compare.html")
    assert path.read_text(encoding="utf-8") == compare_html(make())
    assert [p.name for p in tmp_path.iterdir()] == ["compare.html"]


@given(name=st.text(max_size=40), label=st.text(max_size=40))
def test_no_text_becomes_markup(name: str, label: str) -> None:
    a = make_report(make_layer(gaussian(12, 6), name), make_layer(gaussian(9, 4), name + "x"))
    b = make_report(make_layer(2 * gaussian(12, 6), name, warnings=(name,)))
    plain = compare_models(
        ComparedModel("a", make_report(*(make_layer(gaussian(12, 6), n) for n in "p"))),
        [ComparedModel("b", b)],
    )
    odd = compare_models(ComparedModel(label, a), [ComparedModel(label, b)])
    expected = {tag for tag, _ in Elements(compare_html(plain)).tags}
    page = Elements(compare_html(odd))
    assert {tag for tag, _ in page.tags} <= expected | {"details", "summary", "ul", "li"}
    assert json.loads(page.data)["candidates"][0]["pairs"][0]["notes"] == [
        f"Warning in B only: {printable(name)}"
    ]


def test_a_page_of_many_layers_stays_small() -> None:
    one = make_layer(gaussian(300, 250))
    layers = [replace(one, name=f"layer{i}", parameter=f"layer{i}.weight") for i in range(100)]
    model = ComparedModel("x", make_report(*layers))
    assert len(compare_html(compare_models(model, [model])).encode()) < 3_000_000


def test_the_command_writes_it_beside_the_json(tmp_path: Path) -> None:
    arguments = ["compare", str(SMALL), str(SMALL), "--output-dir", str(tmp_path), "--quiet"]
    assert main(arguments) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"compare.json", "compare.html"}
    assert "B has the spectra of A: 36 layers, none changed." in words(
        (tmp_path / "compare.html").read_text(encoding="utf-8")
    )


def changed() -> ComparisonReport:
    """Ten layers, each moved by another factor, the last one to zero."""
    before = [make_layer(gaussian(30, 12, i), f"layer{i}") for i in range(10)]
    factors = (1, 3, 0.5, 1.01, 9, 1.2, 0.9, 2.5, 1.001, 0)
    after = [make_layer(f * gaussian(30, 12, i), f"layer{i}") for i, f in enumerate(factors)]
    names = ComparedModel("a" * 200, make_report(*before))
    return compare_models(names, [ComparedModel("b" * 300, make_report(*after)), names])


def test_in_a_browser(browser: Any, tmp_path: Path) -> None:
    report = changed()
    pairs = report.candidates[0].pairs
    places = {id(pair): index for index, pair in enumerate(pairs)}
    path = write_compare_html(report, tmp_path / "compare.html")
    with opened(browser, path) as found:
        table = found.page.locator("table.pairs").first

        def order() -> "list[int]":
            rows = table.locator("tbody tr[data-index]").all()
            return [int(row.get_attribute("data-index")) for row in rows]

        # What moved is in the order of how far; the fold has the one that did not, and the rest.
        folded = [places[id(pair)] for pair in report.candidates[0].folded]
        shown = [places[id(pair)] for pair in report.candidates[0].shown]
        assert order() == shown + folded
        visible = table.locator("tbody tr[data-index]:visible")
        assert visible.count() == len(shown) and folded
        table.locator("tr.group button.open").click()
        assert visible.count() == 10
        shown.sort(key=lambda i: pairs[i].spectral_distance)
        moved = table.locator("thead th").filter(has_text="moved")
        moved.get_by_role("button").click()
        assert order() == shown + folded and moved.get_attribute("aria-sort") == "ascending"
        moved.get_by_role("button").click()
        assert order() == shown[::-1] + folded
        # The other table keeps its own order; what opens stays with its row.
        second = found.page.locator("table.pairs").nth(1)
        assert second.locator("tbody tr[data-index]").count() == 10
        table.locator("tr[data-index='9'] button.open").click()
        table.locator("tr[data-index='1'] button.open").click()
        moved.get_by_role("button").click()
        details = table.locator("tr.detail")
        assert details.count() == 2
        assert details.first.locator("svg.chart").count() == 2
        assert "aaa (12)" in details.first.text_content()
        assert "B is not drawn: no singular value above zero." in details.first.text_content()
        row = details.last.locator("tr", has_text="Frobenius norm").locator("td")
        assert float(row.nth(3).text_content()) == pytest.approx(3, rel=1e-3)
        table.locator("tr[data-index='9'] button.open").click()
        assert details.count() == 1
        for width in (1280, 390):
            found.page.set_viewport_size({"width": width, "height": 900})
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width


def every_change() -> ComparisonReport:
    """One layer of each change, one only in A, one with NaN in B; files of the same name."""
    a = [healthy("healthy"), healthy("worse"), dead("recovered", 4), healthy("encoder.grown" * 9)]
    b = [
        healthy("healthy"),
        dead("worse", 3),
        healthy("recovered"),
        dead("encoder.grown" * 9, 2, rows=60),
    ]
    a += [healthy("resized"), healthy("gone")]
    b.append(healthy("resized", rows=60))
    names = "runs/before/model.pt", "runs/after/model.pt"
    return compare_models(
        model(*a, label=names[0]), [model(*b, label=names[1], skipped=(INVALID,))]
    )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 375)])
def test_for_everyone(browser: Any, scheme: str, width: int, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    path = write_compare_html(every_change(), tmp_path / "compare.html")
    with opened(browser, path, width, color_scheme=scheme) as found:
        page = found.page
        page.locator("table.pairs button.open").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        clipped = "e => e.scrollWidth > e.clientWidth + 1"
        assert not [x for x in page.locator(".wide").all() if x.evaluate(clipped)]
        violations = axe.Axe().run(page).response["violations"]
        assert [(v["id"], n["html"][:200]) for v in violations for n in v["nodes"]] == []
        arrows = page.locator("table.pairs > thead button").evaluate_all(
            "all => all.map(e => getComputedStyle(e, '::after').content)"
        )
        assert all("↕" in arrow for arrow in arrows)


def test_which_is_a_and_which_is_b_is_said_everywhere(browser: Any, tmp_path: Path) -> None:
    path = write_compare_html(every_change(), tmp_path / "compare.html")
    with opened(browser, path) as found:
        page = found.page
        assert page.title() == "Comparison: A: before/model.pt and B: after/model.pt"
        heading = " ".join(page.locator("h1").text_content().split())
        assert heading == "A before/model.pt against B after/model.pt"
        heads = [text.strip() for text in found.texts("table.pairs thead th")]
        assert {"σ_min A", "σ_min B", "lost % A", "lost % B"} <= set(heads)
        page.locator("table.pairs button.open").first.click()
        legends = found.texts("tr.detail .legend li")
        assert legends == ["A: before/model.pt (20)", "B: after/model.pt (20)"] * 2
        assert found.texts("tr.detail thead th") == [
            "A: before/model.pt", "B: after/model.pt", "B − A", "B / A",
        ]  # fmt: skip
        for link in page.locator("nav.contents a").all():
            assert page.locator(link.get_attribute("href")).count() == 1


def test_what_got_worse_is_first_and_a_changed_shape_has_its_reason(
    browser: Any, tmp_path: Path
) -> None:
    path = write_compare_html(every_change(), tmp_path / "compare.html")
    with opened(browser, path) as found:
        assert [" ".join(text.split()) for text in found.texts(".findings h4")] == [
            "invalid b.weight", "collapsed worse", f"collapsed {'encoder.grown' * 9}",
        ]  # fmt: skip
        rows = found.page.locator("table.pairs > tbody > tr")
        changes = [row.locator(".mark").all_text_contents() for row in rows.all()]
        assert [x for of in changes for x in of] == [
            "collapsed",
            "collapsed",
            "incomparable",
            "recovered",
            "same",
        ]
        assert "the shape changed from 40 x 20 to 60 x 20" in rows.nth(2).text_content()
        fold = rows.nth(4)
        assert fold.text_content().strip() == "1 layer that did not change"
        assert not rows.nth(5).is_visible()
        fold.get_by_role("button").press("Enter")
        assert rows.nth(5).is_visible() and "healthy" in rows.nth(5).text_content()


def test_an_open_layer_is_no_wider_than_a_phone(browser: Any, tmp_path: Path) -> None:
    """Its numbers, which may be, scroll by themselves."""
    before = make_layer(1e-7 * gaussian(40, 24), "layer")
    after = make_layer(1e-7 * gaussian(40, 12) @ gaussian(12, 24), "layer")
    models = [
        ComparedModel(name, make_report(layer)) for name, layer in (("a", before), ("b", after))
    ]
    report = compare_models(models[0], models[1:])
    path = write_compare_html(report, tmp_path / "compare.html")
    with opened(browser, path, width=390) as found:
        found.page.locator("button.open").click()
        figures = found.page.locator("tr.detail figure").all()
        assert len(figures) == 2
        for figure in figures:
            box = figure.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390


@pytest.mark.parametrize("make", [full_comparison, odd_comparison])
def test_every_layer_opens_in_a_browser(browser: Any, make: Any, tmp_path: Path) -> None:
    path = write_compare_html(make(), tmp_path / "compare.html")
    with opened(browser, path) as found:
        for group in found.page.locator("tr.group button.open").all():
            group.click()
        buttons = found.page.locator("table.pairs tr[data-index] button.open")
        for index in range(buttons.count()):
            buttons.nth(index).click()
        assert found.page.locator("tr.detail").count() == buttons.count() > 0


def test_a_page_of_very_many_pairs_has_what_changed_and_moved_most() -> None:
    layers = [healthy("a"), healthy("b", 1)]
    names = [f"layers.{number}" for number in range(50)]
    before = [replace(layers[0], name=name, parameter=name) for name in names]
    after = [*before[:-2], replace(layers[1], name=names[-2], parameter=names[-2])]
    after.append(replace(dead("d", 2), name=names[-1], parameter=names[-1]))
    report = compare_models(model(*before), [model(*after)])
    on_page = pairs_on_page(report.candidates[0], 12)
    assert [pair.baseline.name for pair in on_page] == [*names[:10], *names[-2:]]
    page = compare_html(report, 12)
    assert "38 more, which come after these, are in compare.json" in words(page)
    data = json.loads(Elements(page).data)
    assert len(data["baseline"]) == len(data["candidates"][0]["pairs"]) == 12


def test_each_of_very_many_candidates_has_the_pair_that_changed_most() -> None:
    before = model(healthy("a"), healthy("b"))
    report = compare_models(before, [model(healthy("a"), dead("b", 2))] * 3)
    data = json.loads(Elements(compare_html(report, 2)).data)
    assert [len(candidate["pairs"]) for candidate in data["candidates"]] == [1, 1, 1]
    assert words(compare_html(report, 2)).count("1 more, which come after these, are in") == 3


def test_a_page_of_very_many_changes_has_the_farthest() -> None:
    measured = [described(np.array([size]), (4, 1), 1.0, 0.0, ("f4", "f4")) for size in (1, 3, 2)]
    deltas = tuple(LayerDelta(name, name, delta) for name, delta in zip("abc", measured))
    layers = model(healthy("a"), healthy("b"), healthy("c"))
    report = compare_models(layers, [layers])
    one = replace(report.candidates[0], deltas=deltas, deltas_sentence="")
    page = compare_html(replace(report, candidates=(one,)), 2)
    table = page[page.index('<table class="plain deltas">') :]
    rows = re.findall(r'<tr><th scope="row" title="(.)">', table)
    assert rows == ["b", "c"]
    assert "The farthest of all are listed; 1 more are in compare.json." in words(page)
