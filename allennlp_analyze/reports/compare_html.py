"""compare.html: the whole comparison as one page that needs nothing else."""

from pathlib import Path
from typing import Any, Union

from allennlp_analyze.compared import ComparisonReport, LayerPair, ModelComparison
from allennlp_analyze.reports.atomic import write_text
from allennlp_analyze.reports.compare_page import columns, compare_page_of, measures, notes
from allennlp_analyze.reports.page_table import sort_keys
from allennlp_analyze.reports.spectra_data import spectrum_data
from allennlp_analyze.reports.templating import render_template
from allennlp_analyze.results import LayerResult

SCRIPTS = ("parts.js", "chart.js", "compare.js")
# What an overlay of two spectra is drawn from.
DRAWN = ("loglog", "values", "nothing")


def write_compare_html(report: ComparisonReport, path: Union[str, Path]) -> Path:
    """Write compare.html; its path. Raises `OutputError`."""
    write_text(path, compare_html(report))
    return Path(path)


def compare_html(report: ComparisonReport) -> str:
    """The page as text: escaped, without a reference to anything outside it."""
    places = {id(layer): index for index, layer in enumerate(report.baseline.report.layers)}
    data = {
        "baseline": [_spectrum(layer) for layer in report.baseline.report.layers],
        "candidates": [_candidate(comparison, places) for comparison in report.candidates],
    }
    return render_template("compare.html", SCRIPTS, data, page=compare_page_of(report))


def _candidate(comparison: ModelComparison, places: dict[int, int]) -> dict[str, Any]:
    letter = comparison.letter
    return {
        "letter": letter,
        "pairs": [_pair(pair, letter, places[id(pair.baseline)]) for pair in comparison.pairs],
    }


def _pair(pair: LayerPair, letter: str, place: int) -> dict[str, Any]:
    return {
        "baseline": place,
        "sort": sort_keys(columns(letter), pair),
        "measures": measures(pair),
        "notes": notes(pair, letter),
        "spectrum": _spectrum(pair.candidate),
    }


def _spectrum(layer: LayerResult) -> dict[str, Any]:
    data = spectrum_data(layer)
    return {"M": layer.M, **{key: data[key] for key in DRAWN}}
