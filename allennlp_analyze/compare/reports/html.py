"""Writes compare.html: the whole comparison as one self-contained page."""

from pathlib import Path
from typing import Any, Union

from allennlp_analyze.compare.reports.page import compare_page_of
from allennlp_analyze.compare.reports.pairs import columns, measures, notes
from allennlp_analyze.compare.results import ComparisonReport, LayerPair, ModelComparison
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


def compare_html(report: ComparisonReport) -> str:
    """Returns the page as escaped text without references to other files."""
    places = {id(layer): index for index, layer in enumerate(report.baseline.report.layers)}
    page = compare_page_of(report)
    data = {
        "names": {model.letter: model.name for model in page.models},
        "baseline": [_spectrum(layer) for layer in report.baseline.report.layers],
        "candidates": [_candidate(comparison, places) for comparison in report.candidates],
    }
    return render_template("compare.html", SCRIPTS, data, page=page)


def _candidate(comparison: ModelComparison, places: dict[int, int]) -> dict[str, Any]:
    letter = comparison.letter
    shown = columns(letter)
    return {
        "letter": letter,
        "pairs": [
            {
                "baseline": places[id(pair.baseline)],
                "sort": sort_keys(shown, pair),
                **_pair(pair, letter),
            }
            for pair in comparison.pairs
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
