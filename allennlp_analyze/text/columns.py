"""A column of a table on a terminal, a page or a notebook."""

from dataclasses import dataclass
from typing import Callable, Generic, Optional, TypeVar, Union

Item = TypeVar("Item")
SortKey = Union[float, int, str, None]


@dataclass(frozen=True)
class Column(Generic[Item]):
    """A column: its title, and the text of its cell for the item of each row.

    A page shows `meaning` as an explanation of the title, and sorts by `key`, or by the text if
    there is none. `style` are the CSS classes of its cells; cells of the class "number" are
    right-aligned everywhere. On a terminal a cell has a `colour`, and a narrow terminal drops
    columns with a `rank_to_drop` > 0, starting at 1.
    """

    title: str
    text: Callable[[Item], str]
    meaning: str = ""
    key: Optional[Callable[[Item], SortKey]] = None
    style: str = "number"
    colour: Callable[[Item], str] = lambda _: ""
    rank_to_drop: int = 0

    @property
    def is_left(self) -> bool:
        """Whether its cells are left-aligned."""
        return "number" not in self.style.split()

    def sort_key(self, item: Item) -> SortKey:
        """Returns the sort key of the row of `item`."""
        return self.text(item) if self.key is None else self.key(item)
