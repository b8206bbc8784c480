"""Writes report.html: the whole report as one self-contained page."""

from pathlib import Path
from typing import Any, Optional, Union

from allennlp_analyze.metrics.exponent import is_conclusive
from allennlp_analyze.reports.html.anchors import anchors_of
from allennlp_analyze.reports.html.experts import PAGE_ROWS, group_data
from allennlp_analyze.reports.html.page import Page, fact_labels, facts, page_of
from allennlp_analyze.reports.html.reasons import sentence_of
from allennlp_analyze.reports.html.records import record_data
from allennlp_analyze.reports.html.reference import reference_section
from allennlp_analyze.reports.html.shown import MOST_LAYERS, shown_layers
from allennlp_analyze.reports.html.spectra import DIGITS, spectrum_data
from allennlp_analyze.reports.html.table import sort_keys
from allennlp_analyze.reports.html.templating import render_template
from allennlp_analyze.reports.json import report_id
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.verdict import LAYER_VERDICTS, MIN_Q, Verdict
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.names import printable

PAGE = "report.html"
SCRIPTS = ("parts.js", "chart.js", "saving.js", "page.js")
# CSS classes of the bars for layers with each verdict.
BAR_STYLES = {
    Verdict.FULL_RANK: "blue",
    Verdict.DEAD_UNITS: "purple",
    Verdict.NEAR_COLLAPSE: "orange",
    Verdict.COLLAPSED: "red",
    Verdict.HIDDEN: "grey",
    Verdict.NOT_ASSESSED: "grey",
}


def write_html(report: ModelReport, path: Union[str, Path], most: int = MOST_LAYERS) -> Path:
    """Write report.html and return its path. Raises `OutputError`."""
    write_text(path, html_page(report, most))
    return Path(path)


def html_page(report: ModelReport, most: int = MOST_LAYERS) -> str:
    """Returns the page as escaped text without references to other files.

    Of more than `most` layers it has the worst, and the figures of all.
    """
    shown = shown_layers(report.layers, most)
    layers = [report.layers[place] for place in shown.numbers]
    page = page_of(report, shown, anchors_of(report.layers, shown))
    data = {
        "min_q": MIN_Q,
        "verdicts": [[v.value, v.words, BAR_STYLES[v]] for v in LAYER_VERDICTS],
        "facts": fact_labels(page.terms),
        "groups": group_data(shown, page.columns),
        "page_rows": PAGE_ROWS,
        "records": record_data(report, shown.numbers),
        "layers": [_layer_data(layer, page) for layer in layers],
        "places": list(shown.numbers) if shown.is_part else None,
        "others": [
            _point_data(layer)
            for place, layer in enumerate(report.layers)
            if place not in shown.numbers
        ],
    }
    return render_template(
        "report.html",
        SCRIPTS,
        data,
        page=page,
        reference=reference_section(report),
        report_id=report_id(report.layers),
    )


def _point_data(layer: LayerResult) -> tuple[Any, ...]:
    """Returns what the figures of the model have of a layer that is not on the page."""
    evidence, fit = layer.evidence, layer.power_law
    numbers = (
        layer.Q,
        layer.min_singular_value,
        evidence.null_ratio if evidence else None,
        fit.alpha if fit else None,
    )
    drawn = (None if x is None else float(f"{x:.{DIGITS}g}") for x in numbers)
    return layer.kind, layer.verdict.value, is_conclusive(layer), *drawn


def _layer_data(layer: LayerResult, page: Page) -> dict[str, Any]:
    evidence = layer.evidence
    return {
        "name": printable(layer.name),
        "kind": layer.kind,
        "verdict": layer.verdict.value,
        "why": printable(sentence_of(layer)),
        "M": layer.M,
        "Q": layer.Q,
        "sigma_min": layer.min_singular_value,
        "sigma_max": layer.max_singular_value,
        "null_ratio": evidence.null_ratio if evidence else None,
        "alpha": layer.power_law.alpha if layer.power_law else None,
        "is_conclusive": is_conclusive(layer),
        "lost": _lost_data(layer),
        "sort": sort_keys(page.columns, layer),
        "facts": facts(layer, page.terms),
        "warnings": [printable(warning) for warning in layer.warnings],
        **spectrum_data(layer),
    }


def _lost_data(layer: LayerResult) -> Optional[tuple[int, str, str]]:
    """Returns how many of the last directions a figure shades, their label and their style."""
    evidence = layer.evidence
    counts = {"lost": layer.lost_directions}
    if evidence is not None:
        counts["harmless"] = evidence.harmless_directions
        if layer.verdict is Verdict.HIDDEN:
            counts["hidden"] = evidence.hidden_directions
    total = sum(counts.values())
    if not total:
        return None
    parts = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    label = f"{parts} of {count(layer.M, 'direction')}"
    return total, label, "red" if layer.lost_directions else "grey"
