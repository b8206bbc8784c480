"""What the terminal shows: a table of layers, the verdict in one sentence, where the files are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, TextIO

from allennlp_analyze.reports.names import display_width, printable, shorten
from allennlp_analyze.reports.terminal import VERDICT_STYLES, count, make_console, print_wrapped
from allennlp_analyze.results import LayerResult, ModelReport, Skipped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GOOD_NAME_WIDTH = 36
MIN_NAME_WIDTH = 20
MAX_INVALID_NAMED = 10
COLUMNS_2018 = ("module_index", "M", "N", "alpha", "D", "min_singular_value")


@dataclass(frozen=True)
class Column:
    """A column of the table after the name; `rank_to_drop` > 0 may go in a narrow terminal."""

    title: str
    text: Callable[[LayerResult], str]
    left: bool = False
    rank_to_drop: int = 0


COLUMNS = (
    Column("kind", lambda layer: layer.kind, left=True, rank_to_drop=2),
    Column("N x M", lambda layer: f"{layer.N} x {layer.M}"),
    Column("Q", lambda layer: f"{layer.Q:.4g}", rank_to_drop=1),
    Column("sigma_min", lambda layer: f"{layer.min_singular_value:.3g}"),
    Column("lost", lambda layer: str(layer.M - layer.hard_rank.numpy)),
    Column("alpha", lambda layer: _fit_number(layer, "alpha", 2)),
    Column("D", lambda layer: _fit_number(layer, "D", 3), rank_to_drop=3),
    Column("verdict", lambda layer: layer.verdict, left=True),
)


def print_report(report: ModelReport, written: Sequence[str], stream: TextIO) -> None:
    """Print the report to `stream`: in colour on a terminal, else in lines of 100 columns.

    `written` names the files that were written. Names from the archive are shown as text only.
    """
    console = make_console(stream)
    if report.layers:
        console.print(_table(report.layers, console))
        console.print()
    for line in _notes(report):
        print_wrapped(console, line)
    print_wrapped(console, report.summary.sentence, VERDICT_STYLES.get(report.summary.verdict, ""))
    for index, path in enumerate(written):
        print_wrapped(console, ("Written: " if index == 0 else "         ") + path)


def table_2018(report: ModelReport) -> str:
    """The six columns of the 2018 study: a header, then one line per linear layer.

    Separated by single spaces, without a line end at the end; "-" for a module index that is not
    known, "nan" where there is no fit. Numbers have the precision they were computed in.
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


def _fit_number(layer: LayerResult, name: str, digits: int) -> str:
    if layer.power_law is None:
        return "-"
    number = getattr(layer.power_law, name)
    return f"{number:.{digits}f}" if number < 1000 else f"{number:.0e}"


def _table(layers: Sequence[LayerResult], console: "Console") -> "Table":
    from rich.table import Table
    from rich.text import Text

    names = [printable(layer.name, console.encoding) for layer in layers]
    columns, gap, name_width = _layout(layers, names, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    table.add_column("layer", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True)
    for name, layer in zip(names, layers):
        cells = [Text(shorten(name, name_width))]
        for column in columns:
            style = VERDICT_STYLES.get(layer.verdict, "") if column.title == "verdict" else ""
            cells.append(Text(column.text(layer), style=style))
        table.add_row(*cells)
    return table


def _layout(
    layers: Sequence[LayerResult], names: Sequence[str], width: int
) -> tuple[list[Column], int, int]:
    """Columns to show, the gap between them, and the cells left for names.

    Where names would be cut, the gap shrinks first; a column goes only for names of less than
    MIN_NAME_WIDTH, or for Q, which N x M tells too, of less than GOOD_NAME_WIDTH.
    """
    longest = max(display_width(name) for name in names)
    last_rank = max(column.rank_to_drop for column in COLUMNS)
    room = 0
    columns: list[Column] = []
    for gap, dropped in [(2, 0), *((1, rank) for rank in range(last_rank + 1))]:
        columns = [c for c in COLUMNS if not 0 < c.rank_to_drop <= dropped]
        room = width - sum(gap + _column_width(column, layers) for column in columns)
        if room >= min(longest, GOOD_NAME_WIDTH if dropped == 0 else MIN_NAME_WIDTH):
            break
    return columns, gap, max(room, len("layer"))


def _column_width(column: Column, layers: Sequence[LayerResult]) -> int:
    return max(len(column.title), *(len(column.text(layer)) for layer in layers))


def _notes(report: ModelReport) -> list[str]:
    notes = [_skipped_note(report.skipped)] if report.skipped else []
    notes += _invalid_notes([tensor for tensor in report.skipped if tensor.invalid])
    notes += [f"Warning: {warning}" for warning in report.warnings]
    warned = sum(1 for layer in report.layers if layer.warnings)
    if warned:
        notes.append(f"Warnings on {count(warned, 'layer')}: the column `warnings` in layers.csv.")
    return notes


def _invalid_notes(invalid: Sequence[Skipped]) -> list[str]:
    """A line for each; the sentence about the model names the first."""
    named = [f"Invalid: {x.parameter}: {x.reason}" for x in invalid[1 : MAX_INVALID_NAMED + 1]]
    more = len(invalid) - 1 - len(named)
    return [*named, f"Invalid: {more} more, in report.json"] if more > 0 else named


def _skipped_note(skipped: Sequence[Skipped]) -> str:
    reasons = Counter(tensor.reason for tensor in skipped).most_common()
    parts = [f"{number} {reason}" for reason, number in reasons[:3]]
    others = sum(number for _, number in reasons[3:])
    if others:
        parts.append(f"{others} for other reasons")
    return f"Skipped {count(len(skipped), 'tensor')}: {'; '.join(parts)}."
