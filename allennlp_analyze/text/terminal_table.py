"""Lays out a table of layers or models on the terminal: which columns fit, and the names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from allennlp_analyze.text.columns import Column, Item
from allennlp_analyze.text.names import display_width, printable, shorten
from allennlp_analyze.text.terminal import print_wrapped, table_console

if TYPE_CHECKING:
    from rich.console import Console

GOOD_NAME_WIDTH = 36
MIN_NAME_WIDTH = 20


def print_table(
    console: "Console",
    columns: Sequence[Column[Item]],
    items: Sequence[Item],
    names: Sequence[str],
    title: str = "layer",
    least: int = MIN_NAME_WIDTH,
) -> None:
    """Print the table of `items` with their `names`, without markup.

    It is as wide as a terminal: names lose what all of them begin with, then their middles, and
    columns are dropped for names of `least` cells. In a file or pipe nothing is cut. `title` is the
    heading of the names. The cells of the columns must be printable.
    """
    from rich.table import Table
    from rich.text import Text

    names = [printable(name, console.encoding) for name in names]
    wide = table_console(console)
    beginning = common_beginning(names)
    kept, gap, name_width = _layout(columns, items, names, wide.width, least)
    is_cut = len(kept) < len(columns) or max(map(display_width, names)) > name_width
    if beginning and is_cut:
        names = [name[len(beginning) :] for name in names]
        kept, gap, name_width = _layout(columns, items, names, wide.width, least)
        print_wrapped(console, f"All names begin with {beginning}")
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    table.add_column(title, no_wrap=True)
    for column in kept:
        table.add_column(column.title, justify="left" if column.is_left else "right", no_wrap=True)
    for name, item in zip(names, items):
        cells = [Text(column.text(item), style=column.colour(item)) for column in kept]
        table.add_row(Text(shorten(name, name_width)), *cells)
    wide.print(table)


def common_beginning(names: Sequence[str]) -> str:
    """Returns the whole parts that two or more names begin with, with the dot; "" if none."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), len(first))
    return first[: first.rfind(".", 0, same) + 1]


def _layout(
    columns: Sequence[Column[Item]],
    items: Sequence[Item],
    names: Sequence[str],
    width: int,
    least: int,
) -> tuple[list[Column[Item]], int, int]:
    """Returns the columns to show, the gap between them, and the cells left for names.

    If names do not fit, the gap shrinks first; then columns are dropped: the first one for names of
    less than GOOD_NAME_WIDTH, the others for names of less than `least`.
    """
    longest = max(len("layer"), *(display_width(name) for name in names))
    last_rank = max(column.rank_to_drop for column in columns)
    kept: list[Column[Item]] = []
    gap = room = 0
    for gap, dropped in [(2, 0), *((1, rank) for rank in range(last_rank + 1))]:
        kept = [column for column in columns if not 0 < column.rank_to_drop <= dropped]
        room = width - sum(gap + _width(column, items) for column in kept)
        if room >= min(longest, GOOD_NAME_WIDTH if dropped == 0 else least):
            break
    return kept, gap, max(room, len("layer"))


def _width(column: Column[Item], items: Sequence[Item]) -> int:
    return max(len(column.title), *(display_width(column.text(item)) for item in items))
