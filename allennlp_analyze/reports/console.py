"""Prints a report: the verdict, what needs attention, a table of layers, the written files."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Optional, TextIO

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import Metric
from allennlp_analyze.reports.attention import attention_lines
from allennlp_analyze.reports.experts import finding_line
from allennlp_analyze.reports.terms import INTERVAL, interval
from allennlp_analyze.results.experts import Entry, ExpertGroup, table_entries
from allennlp_analyze.results.layer import LayerResult, ModelReport, Skipped
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.results.worst import worst_first_key
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import first_lines
from allennlp_analyze.text.terminal import make_console, print_hidden, print_wrapped, print_written
from allennlp_analyze.text.terminal_table import print_table

if TYPE_CHECKING:
    from rich.console import Console

MAX_INVALID_NAMED = 10
MAX_FINDINGS = 12
# Rows up to this many are all shown, and of more at most so many.
MANY, MOST_ROWS = 40, 200
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
EXPERTS = "experts"
# Names of experts are long, and differ in the middle: other columns make room for them.
EXPERT_NAME_WIDTH = 36
EXPERTS_NOTE = (
    "Experts: a row for each projection of all experts, with the number of the worst expert and"
    " its values / the medians. layers.csv, report.json and report.html have every expert."
)
COLUMNS_2018 = ("module_index", "M", "N", "alpha", "D", "min_singular_value")


def number_cell(metric: Metric, layer: LayerResult) -> str:
    """Formats a value of `layer` for a terminal table; a dash if it is undefined."""
    if metric.key == INTERVAL:
        return interval(layer, "-", "-")
    return _number(metric, metric.read(layer))


def _number(metric: Metric, value: Optional[float]) -> str:
    form = metric.terminal.format if metric.terminal else ""
    if value is None:
        return "-"
    if form == "d" and value != int(value):  # a median of counts
        form = ".1f"
    elif form == "d":
        value = int(value)
    # A fixed number of decimals would have no maximum width.
    return f"{value:.0e}" if form.endswith("f") and value >= 1000 else f"{value:{form}}"


def columns_of(layers: Sequence[LayerResult]) -> tuple[Column[LayerResult], ...]:
    """Returns the columns of the table of these layers."""
    return (
        Column("kind", lambda layer: layer.kind, style="", rank_to_drop=2),
        Column("N x M", lambda layer: f"{layer.N} x {layer.M}"),
        *(
            Column(
                m.terminal.title,
                partial(number_cell, m),
                rank_to_drop=m.terminal.rank_to_drop,
            )
            for m in CATALOGUE
            if m.terminal is not None and m.is_shown(layers)
        ),
        Column(
            "verdict",
            lambda layer: layer.verdict,
            style="",
            colour=lambda layer: VERDICT_STYLES[layer.verdict],
        ),
    )


def print_report(
    report: ModelReport,
    written: Sequence[str],
    stream: TextIO,
    show_all: bool = False,
    how_to_see_all: str = "",
) -> None:
    """Print the report to `stream`: in colour on a terminal, otherwise plain and uncut.

    The verdict comes first, then what needs attention, worst first, then the table. Of more than
    MANY rows it has those that are not plainly at full rank, and of more than MOST_ROWS of these
    the worst, unless `show_all`; a line says so, and `how_to_see_all`. `written` lists the files
    that were written. Names from the archive are printed without markup.
    """
    console = make_console(stream)
    print_wrapped(console, report.summary.sentence, VERDICT_STYLES[report.summary.verdict])
    entries = table_entries(report.layers)
    for line in _attention(report, entries):
        print_wrapped(console, line)
    notable = entries if show_all or len(entries) <= MANY else _not_plain(report.layers, entries)
    shown = notable if show_all else _worst(report.layers, notable)
    if shown:
        console.print()
        _print_table(console, report.layers, shown)
    console.print()
    hidden = len(entries) - len(shown)
    if hidden:
        rows = "row" if any(isinstance(x, ExpertGroup) for x in entries) else "layer"
        which = "at full rank" if len(shown) == len(notable) else "that are no worse"
        print_hidden(console, f"{count(hidden, rows)} {which}", how_to_see_all)
    for line in _notes(report, entries):
        print_wrapped(console, line)
    print_written(console, written)


def _not_plain(layers: Sequence[LayerResult], entries: Sequence[Entry]) -> list[Entry]:
    """Returns the entries that are more than at full rank, without anything to say."""
    worst = [_worst_of(layers, entry) for entry in entries]
    return [
        entry
        for entry, layer in zip(entries, worst)
        if layer.verdict is not Verdict.FULL_RANK or (layer.evidence and layer.evidence.findings)
    ]


def _worst(layers: Sequence[LayerResult], entries: Sequence[Entry]) -> list[Entry]:
    """Returns the MOST_ROWS worst entries in their order."""
    worst = [worst_first_key(_worst_of(layers, entry)) for entry in entries]
    order = sorted(range(len(entries)), key=lambda place: worst[place])
    return [entries[place] for place in sorted(order[:MOST_ROWS])]


def _worst_of(layers: Sequence[LayerResult], entry: Entry) -> LayerResult:
    return entry.worst if isinstance(entry, ExpertGroup) else layers[entry]


def _print_table(
    console: "Console", layers: Sequence[LayerResult], entries: Sequence[Entry]
) -> None:
    """Print the table of `entries`, with one row for each projection of experts."""
    of_layers = columns_of(layers)
    names = [x.name if isinstance(x, ExpertGroup) else layers[x].name for x in entries]
    columns = [_entry_column(layers, column) for column in of_layers]
    if not any(isinstance(entry, ExpertGroup) for entry in entries):
        print_table(console, columns, entries, names)
        return
    experts = Column(EXPERTS, _experts_cell, style="")
    print_table(console, [experts, *columns], entries, names, least=EXPERT_NAME_WIDTH)


def _entry_column(layers: Sequence[LayerResult], column: Column[LayerResult]) -> Column[Entry]:
    """Returns `column` for layers and groups; a number of a group is that of its worst expert."""
    metrics = {m.terminal.title: m for m in CATALOGUE if m.terminal and m.key != INTERVAL}
    metric = metrics.get(column.title)

    worst = partial(_worst_of, layers)

    def text(entry: Entry) -> str:
        shown = column.text(worst(entry))
        if metric is None or not isinstance(entry, ExpertGroup):
            return shown
        median = _number(metric, entry.median(metric.read))
        return shown if shown == median else f"{shown}/{median}"

    def colour(entry: Entry) -> str:
        return column.colour(worst(entry))

    return Column(
        column.title, text, style=column.style, colour=colour, rank_to_drop=column.rank_to_drop
    )


def _experts_cell(entry: Entry) -> str:
    if not isinstance(entry, ExpertGroup):
        return ""
    return f"{len(entry.numbers)}, worst {entry.numbers[0]}"


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


def _attention(report: ModelReport, entries: Sequence[Entry]) -> list[str]:
    """Returns what a reader must know beside the verdict, the worst first."""
    lines = _invalid_notes([tensor for tensor in report.skipped if tensor.invalid])
    lines += _findings(report, entries)
    lines += attention_lines(report.attention)
    return lines + [f"Warning: {warning}" for warning in report.warnings]


def _notes(report: ModelReport, entries: Sequence[Entry]) -> list[str]:
    notes = [EXPERTS_NOTE] if any(isinstance(x, ExpertGroup) for x in entries) else []
    notes += [_skipped_note(report.skipped)] if report.skipped else []
    warned = sum(1 for layer in report.layers if layer.warnings)
    if warned:
        notes.append(
            f"Warnings on {count(warned, 'layer')}: see the column `warnings` in layers.csv."
        )
    return notes


def _findings(report: ModelReport, entries: Sequence[Entry]) -> list[str]:
    """Returns a line for each layer, or projection of experts, with lost or weak directions.

    The harmful ones come first.
    """
    found: list[tuple[int, str]] = []
    for entry in entries:
        layer = _worst_of(report.layers, entry)
        if isinstance(entry, ExpertGroup):
            line = finding_line(entry)
        else:
            evidence = layer.evidence
            line = f"{layer.name}: {evidence.reason}." if evidence and evidence.findings else None
        if line is not None:
            found.append((-layer.lost_directions, line))
    lines = [line for _, line in sorted(found, key=lambda pair: pair[0])]
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
