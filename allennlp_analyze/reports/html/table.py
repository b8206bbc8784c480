"""A table of layers on a page: its columns, and its rows as texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.text.columns import Column, Item, SortKey
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

# The style of the column whose cells have a mark.
VERDICT = "verdict"


@dataclass(frozen=True)
class Cell:
    """One place in the table; `verdict` gives it that verdict's mark."""

    text: str
    style: str
    verdict: Optional[str] = None


@dataclass(frozen=True)
class Row:
    """A line of the table: a short name, the whole one, and the cells after it."""

    name: str
    full_name: str
    cells: tuple[Cell, ...]


def table_row(layer: LayerResult, columns: Sequence[Column[Item]], item: Item, mark: str) -> Row:
    """The row of `item`, named after `layer`; the first of `columns` is the name."""
    cells = [
        Cell(column.text(item), column.style, mark if column.style == VERDICT else None)
        for column in columns[1:]
    ]
    return Row(short_name(layer), printable(layer.name), tuple(cells))


def sort_keys(columns: Sequence[Column[Item]], item: Item) -> list[SortKey]:
    """What each column of the row of `item` is sorted by."""
    return [column.sort_key(item) for column in columns]


def short_name(layer: LayerResult) -> str:
    """The name as figures and tables have room for it."""
    return shorten(printable(layer.name), NAME_WIDTH) or "(no name)"
