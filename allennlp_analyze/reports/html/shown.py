"""Chooses the layers that a page has: all, or of very many the worst, with one for every row."""

from collections.abc import Sequence
from dataclasses import dataclass

from allennlp_analyze.results.experts import Entry, ExpertGroup, table_entries
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.worst import worst_first_key

# A page with more would be too large to open, and to mail.
MOST_LAYERS = 2000


@dataclass(frozen=True)
class Shown:
    """What the page has of a report.

    `numbers` has the indices of the layers in the report, in their order, each with its number on
    the page. `entries` are the rows of the table: each layer, or a group of experts, of which only
    some may be on the page. `total` counts the layers of the report; `has_every_row` is False if
    there are even more rows than layers on the page.
    """

    numbers: dict[int, int]
    entries: tuple[Entry, ...]
    total: int
    has_every_row: bool

    @property
    def is_part(self) -> bool:
        """Whether layers of the report are not on the page."""
        return len(self.numbers) < self.total

    @property
    def groups(self) -> tuple[ExpertGroup, ...]:
        """The rows of experts."""
        return tuple(entry for entry in self.entries if isinstance(entry, ExpertGroup))

    def about(self) -> str:
        """Returns which layers are on the page, "" if all are."""
        if not self.is_part:
            return ""
        which = "the worst"
        if self.groups and self.has_every_row:
            which = "the worst of each projection of experts and of all others"
        return (
            f"This page has {len(self.numbers):,} of the {self.total:,} layers: {which}."
            " The figures above and the rows of experts count all; layers.csv, report.json and"
            " singular_values.npz have every layer."
        )


def shown_layers(layers: Sequence[LayerResult], most: int = MOST_LAYERS) -> Shown:
    """Returns what a page has of a report with these `layers`, at most so many.

    Each row comes before further experts, and the worst before others.
    """
    entries = table_entries(layers)
    worst = [x.places[0] if isinstance(x, ExpertGroup) else x for x in entries]
    places: Sequence[int] = range(len(layers))
    if len(layers) > most:
        of_rows = set(worst)
        key = {place: (place not in of_rows, worst_first_key(layers[place])) for place in places}
        places = sorted(sorted(places, key=lambda place: key[place])[:most])
    numbers = {place: number for number, place in enumerate(places)}
    rows = tuple(entry for entry, place in zip(entries, worst) if place in numbers)
    return Shown(numbers, rows, len(layers), len(rows) == len(entries))
