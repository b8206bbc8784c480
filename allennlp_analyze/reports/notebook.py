"""Renders a report for notebooks: the verdict in one sentence, and a compact table."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from allennlp_analyze.reports.console import columns_of
from allennlp_analyze.reports.figures.style import BLUE, GREY, ORANGE, VERMILLION
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict, worst_first
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

MAX_ROWS = 50
# Length limit of the full name in the tooltip.
TITLE_WIDTH = 300
# Readable on white and on black; everything else uses the notebook's own colours.
VERDICT_COLOURS = {
    Verdict.FULL_RANK: BLUE,
    Verdict.UNTRAINED: ORANGE,
    Verdict.CONCENTRATED: ORANGE,
    Verdict.DEAD_UNITS: ORANGE,
    Verdict.NEAR_COLLAPSE: ORANGE,
    Verdict.COLLAPSED: VERMILLION,
    Verdict.HIDDEN: GREY,
    Verdict.NOT_ASSESSED: GREY,
    Verdict.INVALID: VERMILLION,
}
# If not all layers can be shown, those whose verdict comes first are.
WORST_FIRST = worst_first(LAYER_VERDICTS)
# Half-transparent grey is visible on any background.
LINE = "border-bottom:1px solid rgba(128,128,128,0.3)"
QUIET = "opacity:0.75;font-size:90%"


def to_html(report: ModelReport) -> str:
    """Returns HTML without scripts or style sheets. Names are escaped."""
    shown = _shown(report.layers)
    parts = [
        f"<div>{_dot(report.summary.verdict)}<strong>{_text(report.summary.sentence)}</strong></div>",
        f'<div style="{QUIET}">{_text(_facts(report))}</div>',
    ]
    if shown:
        parts.append(_table(shown))
    more = _more(report.layers, shown)
    if more:
        parts.append(f'<div style="{QUIET}">{_text(more)}</div>')
    return f'<div style="line-height:1.5">{"".join(parts)}</div>'


def _facts(report: ModelReport) -> str:
    archive = shorten(printable(report.source.archive), NAME_WIDTH)
    facts = [archive, count(len(report.layers), "matrix", "matrices")]
    if report.skipped:
        facts.append(f"{count(len(report.skipped), 'tensor')} skipped")
    if report.warnings:
        facts.append(count(len(report.warnings), "warning"))
    return " · ".join(facts)


def _shown(layers: Sequence[LayerResult]) -> list[LayerResult]:
    """Returns at most MAX_ROWS layers, those with the worst verdicts, in their order."""
    worst = sorted(range(len(layers)), key=lambda index: WORST_FIRST.index(layers[index].verdict))
    return [layers[index] for index in sorted(worst[:MAX_ROWS])]


def _more(layers: Sequence[LayerResult], shown: Sequence[LayerResult]) -> str:
    left = Counter(x.verdict for x in layers) - Counter(x.verdict for x in shown)
    if not left:
        return ""
    kinds = ", ".join(f"{left[verdict]} {verdict}" for verdict in WORST_FIRST if left[verdict])
    return f"and {sum(left.values())} more: {kinds}"


def _table(layers: Sequence[LayerResult]) -> str:
    columns = columns_of(layers)
    titles = [("layer", True), *((column.title, column.is_left) for column in columns)]
    head = "".join(f'<th style="{_side(left)}">{_text(title)}</th>' for title, left in titles)
    body = "".join(_row(layer, columns) for layer in layers)
    return (
        '<table cellpadding="5" style="border-collapse:collapse;white-space:nowrap;margin:0.5em 0">'
        f'<thead><tr style="{LINE}">{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _row(layer: LayerResult, columns: Sequence[Column[LayerResult]]) -> str:
    name = printable(layer.name)
    title = escape(shorten(name, TITLE_WIDTH))
    cells = [f'<td title="{title}" style="{_side(True)}">{_text(shorten(name, NAME_WIDTH))}</td>']
    for column in columns:
        dot = _dot(layer.verdict) if column.title == "verdict" else ""
        cells.append(f'<td style="{_side(column.is_left)}">{dot}{_text(column.text(layer))}</td>')
    return f'<tr style="{LINE}">{"".join(cells)}</tr>'


def _side(left: bool) -> str:
    return f"text-align:{'left' if left else 'right'}"


def _dot(verdict: Verdict) -> str:
    return (
        '<span style="display:inline-block;width:0.6em;height:0.6em;border-radius:50%;'
        f'margin-right:0.4em;background:{VERDICT_COLOURS[verdict]}"></span>'
    )


def _text(text: str) -> str:
    return escape(printable(text))
