"""A table of layers on a page: columns, and rows as texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from allennlp_analyze.text.columns import Column, Item, SortKey
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

# The style of the column with marks.
VERDICT = "verdict"


@dataclass(frozen=True)
class Cell:
    """One cell of the table; `verdict` adds that verdict's mark, `remark` a line below."""

    text: str
    style: str
    verdict: Optional[str] = None
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table: the short name, the full name, and the other cells.

    `attributes` are those of the row in HTML; without any, its number in the table is its index.
    `remark` stands below the name.
    """

    name: str
    full_name: str
    cells: tuple[Cell, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""


def table_row(
    name: str,
    columns: Sequence[Column[Item]],
    item: Item,
    mark: str,
    attributes: Optional[Mapping[str, str]] = None,
) -> Row:
    """Returns the row of `item`, a layer of this `name`; the first of `columns` is the name."""
    cells = [
        Cell(column.text(item), column.style, mark if column.style == VERDICT else None)
        for column in columns[1:]
    ]
    return Row(short_text(name), printable(name), tuple(cells), attributes or {})


def sort_keys(columns: Sequence[Column[Item]], item: Item) -> list[SortKey]:
    """Returns the sort key of `item` for each column."""
    return [column.sort_key(item) for column in columns]


def short_text(name: str) -> str:
    """Returns `name` shortened for figures and tables."""
    return shorten(printable(name), NAME_WIDTH) or "(no name)"
