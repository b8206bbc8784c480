"""Prints a series: the sentence, what began when, and a row for each checkpoint."""

from collections.abc import Sequence
from typing import TextIO

from allennlp_analyze.reports.console import VERDICT_STYLES
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.series.reports.json import SERIES
from allennlp_analyze.series.results import SeriesCheckpoint, SeriesReport
from allennlp_analyze.series.wording import lines_of_recovery, lines_of_trouble, series_sentence
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.lists import titled_lines
from allennlp_analyze.text.names import printable, shorten
from allennlp_analyze.text.terminal import make_console, print_wrapped, print_written
from allennlp_analyze.text.terminal_table import print_table

MAX_ROWS, MAX_NAMED = 40, 10
REASON_WIDTH = 40


def print_series(report: SeriesReport, written: Sequence[str], new: int, stream: TextIO) -> None:
    """Print the series to `stream`; `new` is the number of checkpoints that were analyzed now."""
    console = make_console(stream)
    last = report.last
    style = VERDICT_STYLES[last.verdict] if last and last.verdict else "bold red"
    print_wrapped(console, printable(series_sentence(report)), style)
    console.print()
    for title, lines in (
        ("Worse than full rank now", lines_of_trouble(report)),
        ("Recovered", lines_of_recovery(report)),
        ("Failed", (f"{x.label}: {x.reason}" for x in report.failed)),
        ("Left out", iter(report.left_out)),
    ):
        for line in titled_lines(title, map(printable, lines), MAX_NAMED, SERIES):
            print_wrapped(console, line)
    shown = report.checkpoints[-MAX_ROWS:]
    if len(shown) < len(report.checkpoints):
        print_wrapped(console, f"The last {len(shown)} of {len(report.checkpoints)} checkpoints:")
    numbers = {x.label: _counts(report, index) for index, x in enumerate(report.checkpoints)}
    columns = (
        Column[SeriesCheckpoint]("layers", lambda x: numbers[x.label][0]),
        Column[SeriesCheckpoint]("lost", lambda x: numbers[x.label][1]),
        Column[SeriesCheckpoint]("of null", lambda x: numbers[x.label][2]),
        Column[SeriesCheckpoint](
            "worst layer", lambda x: shorten(numbers[x.label][3], 40), style=""
        ),
        Column[SeriesCheckpoint](
            "verdict",
            lambda x: (
                x.verdict.value if x.verdict else f"failed: {shorten(x.reason or '', REASON_WIDTH)}"
            ),
            style="",
            colour=lambda x: VERDICT_STYLES[x.verdict] if x.verdict else "bold red",
        ),
    )
    print_table(console, columns, shown, [x.label for x in shown], "checkpoint")
    console.print()
    print_wrapped(
        console,
        "lost: directions lost in all layers that count. of null: the smallest ratio of a layer's"
        f" smallest singular value to that of noise, in the worst layer. {new} analyzed now.",
    )
    print_written(console, written)


def _counts(report: SeriesReport, index: int) -> tuple[str, str, str, str]:
    """Returns layers, lost directions, the smallest null ratio and its layer at a checkpoint."""
    states = [(x.layer, x.states[index]) for x in report.tracks if x.counts]
    known = [(layer, state) for layer, state in states if state is not None]
    if not known:
        return "-", "-", "-", "-"
    # The smallest value of a layer whose lost direction does not matter says nothing.
    ratios = [
        (x.null_ratio, layer)
        for layer, x in known
        if x.null_ratio is not None and not x.harmless_directions
    ]
    smallest, where = min(ratios, default=(None, ""))
    lost = sum(x.lost_directions for _, x in known if x.verdict is not Verdict.NOT_ASSESSED)
    return (
        str(len(known)),
        str(lost),
        "-" if smallest is None else f"{smallest:.3g}",
        printable(where),
    )
