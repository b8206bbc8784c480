"""Prints a report: a table of layers, the verdict in one sentence, and the written files."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TextIO

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import Metric
from allennlp_analyze.results.layer import LayerResult, ModelReport, Skipped
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import first_lines
from allennlp_analyze.text.terminal import make_console, print_wrapped, print_written
from allennlp_analyze.text.terminal_table import layer_table

MAX_INVALID_NAMED = 10
MAX_FINDINGS = 12
VERDICT_STYLES = {
    Verdict.FULL_RANK: "green",
    Verdict.UNTRAINED: "yellow",
    Verdict.CONCENTRATED: "yellow",
    Verdict.DEAD_UNITS: "yellow",
    Verdict.NEAR_COLLAPSE: "yellow",
    Verdict.COLLAPSED: "bold red",
    Verdict.HIDDEN: "dim",
    Verdict.NOT_ASSESSED: "dim",
    Verdict.INVALID: "bold red",
}
COLUMNS_2018 = ("module_index", "M", "N", "alpha", "D", "min_singular_value")


def number_cell(metric: Metric, layer: LayerResult) -> str:
    """Formats a value of `layer` for a terminal table; a dash if it is undefined."""
    value, form = metric.read(layer), metric.terminal.format if metric.terminal else ""
    if value is None:
        return "-"
    # A fixed number of decimals would have no maximum width.
    return f"{value:.0e}" if form.endswith("f") and value >= 1000 else f"{value:{form}}"


COLUMNS: tuple[Column[LayerResult], ...] = (
    Column("kind", lambda layer: layer.kind, style="", rank_to_drop=2),
    Column("N x M", lambda layer: f"{layer.N} x {layer.M}"),
    *(
        Column(
            m.terminal.title,
            partial(number_cell, m),
            rank_to_drop=m.terminal.rank_to_drop,
        )
        for m in CATALOGUE
        if m.terminal is not None
    ),
    Column(
        "verdict",
        lambda layer: layer.verdict,
        style="",
        colour=lambda layer: VERDICT_STYLES[layer.verdict],
    ),
)


def print_report(report: ModelReport, written: Sequence[str], stream: TextIO) -> None:
    """Print the report to `stream`: in colour on a terminal, otherwise in lines of 100 columns.

    `written` lists the files that were written. Names from the archive are printed without markup.
    """
    console = make_console(stream)
    if report.layers:
        names = [layer.name for layer in report.layers]
        console.print(layer_table(console, COLUMNS, report.layers, names))
        console.print()
    for line in _notes(report):
        print_wrapped(console, line)
    print_wrapped(console, report.summary.sentence, VERDICT_STYLES[report.summary.verdict])
    print_written(console, written)


def table_2018(report: ModelReport) -> str:
    """Returns the six columns of the 2018 study: a header, then one line per linear layer.

    Columns are separated by single spaces; the last line has no line end. An unknown module index
    is "-", and a missing fit is "nan". Numbers have the precision in which they were computed.
    """
    lines = [" ".join(COLUMNS_2018)]
    for layer in report.layers:
        if layer.kind == "linear":
            lines.append(" ".join(_cells_2018(layer)))
    return "\n".join(lines)


def _cells_2018(layer: LayerResult) -> list[str]:
    fit = layer.power_law
    return [
        "-" if layer.module_index is None else str(layer.module_index),
        str(layer.M),
        str(layer.N),
        "nan" if fit is None else repr(float(fit.alpha)),
        "nan" if fit is None else repr(float(fit.D)),
        repr(layer.min_singular_value),
    ]


def _notes(report: ModelReport) -> list[str]:
    notes = [_skipped_note(report.skipped)] if report.skipped else []
    notes += _invalid_notes([tensor for tensor in report.skipped if tensor.invalid])
    notes += [f"Warning: {warning}" for warning in report.warnings]
    notes += _findings(report)
    warned = sum(1 for layer in report.layers if layer.warnings)
    if warned:
        notes.append(
            f"Warnings on {count(warned, 'layer')}: see the column `warnings` in layers.csv."
        )
    return notes


def _findings(report: ModelReport) -> list[str]:
    """Returns a line for each layer with lost or weak directions, the harmful ones first."""
    found = [layer for layer in report.layers if layer.evidence and layer.evidence.findings]
    found.sort(key=lambda layer: -layer.lost_directions)
    lines = [f"{layer.name}: {layer.evidence.reason}." for layer in found if layer.evidence]
    lines += [
        f"{adapter.name}: {adapter.verdict.words}: {adapter.reason}." for adapter in report.adapters
    ]
    return first_lines(lines, MAX_FINDINGS, "report.json")


def _invalid_notes(invalid: Sequence[Skipped]) -> list[str]:
    """Returns a line for each except the first, which is in the sentence about the model."""
    named = [f"Invalid: {x.parameter}: {x.reason}" for x in invalid[1 : MAX_INVALID_NAMED + 1]]
    more = len(invalid) - 1 - len(named)
    return [*named, f"Invalid: {more} more; see report.json"] if more > 0 else named


def _skipped_note(skipped: Sequence[Skipped]) -> str:
    reasons = Counter(tensor.reason for tensor in skipped).most_common()
    parts = [f"{number} {reason}" for reason, number in reasons[:3]]
    others = sum(number for _, number in reasons[3:])
    if others:
        parts.append(f"{others} for other reasons")
    return f"Skipped {count(len(skipped), 'tensor')}: {'; '.join(parts)}."
