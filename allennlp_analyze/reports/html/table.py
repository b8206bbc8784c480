"""A table of layers on a page: columns, and rows as texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.text.columns import Column, Item, SortKey
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

# The style of the column with marks.
VERDICT = "verdict"


@dataclass(frozen=True)
class Cell:
    """One cell of the table; `verdict` adds that verdict's mark."""

    text: str
    style: str
    verdict: Optional[str] = None


@dataclass(frozen=True)
class Row:
    """A row of the table: the short name, the full name, and the other cells."""

    name: str
    full_name: str
    cells: tuple[Cell, ...]


def table_row(layer: LayerResult, columns: Sequence[Column[Item]], item: Item, mark: str) -> Row:
    """Returns the row of `item`, named after `layer`; the first of `columns` is the name."""
    cells = [
        Cell(column.text(item), column.style, mark if column.style == VERDICT else None)
        for column in columns[1:]
    ]
    return Row(short_name(layer), printable(layer.name), tuple(cells))


def sort_keys(columns: Sequence[Column[Item]], item: Item) -> list[SortKey]:
    """Returns the sort key of `item` for each column."""
    return [column.sort_key(item) for column in columns]


def short_name(layer: LayerResult) -> str:
    """Returns the name shortened for figures and tables."""
    return shorten(printable(layer.name), NAME_WIDTH) or "(no name)"
