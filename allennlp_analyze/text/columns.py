"""The column of a table, on a terminal, on a page or in a notebook."""

from dataclasses import dataclass
from typing import Callable, Generic, Optional, TypeVar, Union

Item = TypeVar("Item")
SortKey = Union[float, int, str, None]


@dataclass(frozen=True)
class Column(Generic[Item]):
    """A column: its title, and the text that it shows of the item of each row.

    A page explains the title by `meaning`, and sorts by `key`, where there is none by the text.
    `style` are the classes of its cells there; what has the class "number" is set to the right
    everywhere. On a terminal a cell has a `colour`, and a narrow one drops columns with a
    `rank_to_drop` > 0, from 1 on.
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
        """Whether its cells are set to the left."""
        return "number" not in self.style.split()

    def sort_key(self, item: Item) -> SortKey:
        """What the row of `item` is sorted by."""
        return self.text(item) if self.key is None else self.key(item)
