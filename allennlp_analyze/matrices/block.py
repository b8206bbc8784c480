"""A part of a matrix: some of its rows or columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from allennlp_analyze.matrices.assembled import flattened


@dataclass(frozen=True)
class Block:
    """A part of a matrix: the indices `places` of its rows, or of its columns."""

    label: str
    of_rows: bool
    places: np.ndarray

    def shape(self, whole: Sequence[int]) -> tuple[int, int]:
        """The shape of the part of a matrix of shape `whole`."""
        size = len(self.places)
        return (size, whole[1]) if self.of_rows else (whole[0], size)

    def take(self, values: np.ndarray) -> np.ndarray:
        """Returns the part of the matrix `values`, a view if it is in one piece."""
        step = np.diff(self.places[:2])[0] if len(self.places) > 1 else 1
        regular = bool((np.diff(self.places) == step).all())
        if regular and step > 0:
            chosen = slice(int(self.places[0]), int(self.places[-1]) + 1, int(step))
            return values[chosen] if self.of_rows else values[:, chosen]
        return flattened(values[self.places] if self.of_rows else values[:, self.places])


def in_turn(labels: Sequence[str], sizes: Sequence[int], of_rows: bool) -> tuple[Block, ...]:
    """Returns parts of the given sizes, one after the other."""
    starts = np.cumsum([0, *sizes])
    return tuple(
        Block(label, of_rows, np.arange(start, start + size))
        for label, start, size in zip(labels, starts, sizes)
    )


def positive(node: Mapping[str, Any], *keys: str) -> Optional[int]:
    """Returns the first of `keys` of a configuration that is a number above 0, or None."""
    for key in keys:
        value = node.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
