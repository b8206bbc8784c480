"""The page of a series of very many layers and checkpoints has the worst, and says so."""

import json
from dataclasses import replace

import pytest

from allennlp_analyze.series.reports.html import series_html
from allennlp_analyze.series.reports.page import LISTED, MOST_LAYERS, MOST_STATES
from allennlp_analyze.series.results import SeriesCheckpoint, SeriesReport, Track
from tests.support.html_elements import Elements, words
from tests.support.report_factory import make_report
from tests.support.series_states import BAD, WELL

pytestmark = pytest.mark.newest_python


def series(n_layers: int, n_checkpoints: int = 2) -> SeriesReport:
    """The first layer went wrong; of the others, the later one is the weaker."""
    checkpoints = tuple(
        SeriesCheckpoint(f"step-{n}", f"step-{n}", None, n, f"checkpoints/{n}", WELL.verdict, "")
        for n in range(n_checkpoints)
    )
    states = [
        (replace(WELL, null_ratio=1 - i / n_layers),) * n_checkpoints for i in range(n_layers)
    ]
    states[0] = (*states[0][1:], BAD)
    tracks = tuple(Track(f"l{i}", "linear", 40, (60, 40), x) for i, x in enumerate(states))
    return SeriesReport(make_report().tool, "run", {}, checkpoints, tracks)


@pytest.mark.parametrize(("layers", "checkpoints"), [(MOST_LAYERS + 30, 2), (600, 100)])
def test_of_very_many_layers_the_page_has_the_worst(layers: int, checkpoints: int) -> None:
    most = min(MOST_LAYERS, MOST_STATES // checkpoints)
    page = series_html(series(layers, checkpoints), "run.jsonl")
    data = json.loads(Elements(page).data)
    expected = ["l0", *(f"l{i}" for i in range(layers - most + 1, layers))]
    assert [layer["name"] for layer in data["layers"]] == expected
    assert page.count('class="open"') == most < layers
    assert f"The worst {most:,} of {layers:,} layers; run.jsonl has all." in words(page)
    # Drawn together are those that went wrong, and the nearest to it.
    assert [data["layers"][i]["name"] for i in data["overview"]][:2] == ["l0", f"l{layers - 1}"]


def test_a_page_of_all_layers_does_not_speak_of_others() -> None:
    page = series_html(series(5))
    assert [x["name"] for x in json.loads(Elements(page).data)["layers"]] == [
        f"l{i}" for i in range(5)
    ]
    assert "The worst" not in words(page) and "series.json has" not in words(page)


def test_lists_that_are_cut_say_how_much_is_elsewhere() -> None:
    found = series(LISTED + 7)
    tracks = tuple(replace(x, states=(BAD, WELL)) for x in found.tracks)
    left_out = tuple(f"file{i}" for i in range(LISTED + 3))
    text = words(series_html(replace(found, tracks=tracks, left_out=left_out)))
    assert f"Recovered ({LISTED + 7})" in text and "7 more in series.json." in text
    assert f"Left out ({LISTED + 3})" in text and "3 more in series.json." in text
