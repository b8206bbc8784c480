"""Writes compare.html: the whole comparison as one self-contained page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union

from allennlp_analyze.compare.reports.page import compare_page_of
from allennlp_analyze.compare.reports.pairs import (
    MOST_PAIRS,
    columns,
    measures,
    most_of_each,
    notes,
    pairs_on_page,
)
from allennlp_analyze.compare.results import ComparisonReport, LayerPair
from allennlp_analyze.reports.html.spectra import outline_data
from allennlp_analyze.reports.html.table import sort_keys
from allennlp_analyze.reports.html.templating import render_template
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.storage.files import write_text

SCRIPTS = ("parts.js", "chart.js", "compare.js")


def write_compare_html(report: ComparisonReport, path: Union[str, Path]) -> Path:
    """Write compare.html and return its path. Raises `OutputError`."""
    write_text(path, compare_html(report))
    return Path(path)


def compare_html(report: ComparisonReport, most: int = MOST_PAIRS) -> str:
    """Returns the page as escaped text without references to other files.

    It has at most this number of pairs, of all candidates together.
    """
    page = compare_page_of(report, most)
    candidates, each = report.candidates, most_of_each(len(report.candidates), most)
    pairs = [pairs_on_page(comparison, each) for comparison in candidates]
    used = {id(pair.baseline) for of_candidate in pairs for pair in of_candidate}
    baseline = [layer for layer in report.baseline.report.layers if id(layer) in used]
    places = {id(layer): index for index, layer in enumerate(baseline)}
    data = {
        "names": {model.letter: model.name for model in page.models},
        "baseline": [_spectrum(layer) for layer in baseline],
        "candidates": [_candidate(of.letter, on, places) for of, on in zip(candidates, pairs)],
    }
    return render_template("compare.html", SCRIPTS, data, page=page)


def _candidate(letter: str, pairs: Sequence[LayerPair], places: dict[int, int]) -> dict[str, Any]:
    shown = columns(letter)
    return {
        "letter": letter,
        "pairs": [
            {
                "baseline": places[id(pair.baseline)],
                "sort": sort_keys(shown, pair),
                **_pair(pair, letter),
            }
            for pair in pairs
        ],
    }


def _pair(pair: LayerPair, letter: str) -> dict[str, Any]:
    return {
        "measures": measures(pair),
        "notes": notes(pair, letter),
        "spectrum": _spectrum(pair.candidate),
    }


def _spectrum(layer: LayerResult) -> dict[str, Any]:
    return {"M": layer.M, **outline_data(layer)}
