"""Decodes a stored matrix one block of rows at a time, so that it is never copied whole."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable

import numpy as np

from allennlp_analyze.errors import InvalidTensorError
from allennlp_analyze.text.counts import count

# A block has about BLOCK_ELEMENTS elements (8 MiB in float64), but at least BLOCK_ROWS rows: adding
# fewer rows to an M x M Gram matrix is not efficient, and such a block is small beside that matrix.
BLOCK_ELEMENTS = 1 << 20
BLOCK_ROWS = 1024

Decode = Callable[[np.ndarray], np.ndarray]


def as_stored(block: np.ndarray) -> np.ndarray:
    return block


@dataclass(frozen=True)
class Entries:
    """A stored matrix of shape (rows, columns) and the function that decodes it.

    `stored` is often a view of a mapped file. `decode` turns any part of it into an array of
    numbers, entry by entry.
    """

    stored: np.ndarray = field(repr=False)
    decode: Decode = as_stored

    @property
    def N(self) -> int:
        """The larger dimension."""
        return max(self.stored.shape)

    @property
    def M(self) -> int:
        """The smaller dimension."""
        return min(self.stored.shape)

    @property
    def is_tall(self) -> bool:
        """Whether the rows of W (N x M) are those of `stored`, and not its columns."""
        return self.stored.shape[0] >= self.stored.shape[1]

    @property
    def size(self) -> int:
        return self.stored.size

    @property
    def block_rows(self) -> int:
        """Number of rows in a block; the last block may have fewer."""
        return min(self.N, max(BLOCK_ELEMENTS // self.M, BLOCK_ROWS))

    def blocks(self, scale: float = 1.0) -> Iterator[np.ndarray]:
        """Yields consecutive rows of scale * W (N x M) as float64 arrays of shape (k, M).

        Do not write to a block, and do not use it after the next one is requested.
        """
        numbers = np.empty(0)
        for block in self.decoded_blocks():
            if block.dtype == np.float64 and scale == 1.0:
                yield block
                continue
            if numbers.shape != block.shape:
                numbers = np.empty_like(block, dtype=np.float64)
            if scale == 1.0:
                np.copyto(numbers, block)  # in half the time
            else:
                np.multiply(block, scale, out=numbers, dtype=np.float64)
            yield numbers

    def decoded_blocks(self) -> Iterator[np.ndarray]:
        """Yields the same blocks unscaled, in the type that `decode` returns."""
        for block in self.stored_blocks():
            yield self.decode(block) if self.is_tall else self.decode(block).T

    def stored_blocks(self) -> Iterator[np.ndarray]:
        """Yields the same blocks as they are stored; transposed, (M, k), if W is not tall."""
        for start in range(0, self.N, self.block_rows):
            stop = start + self.block_rows
            yield self.stored[start:stop] if self.is_tall else self.stored[:, start:stop]

    def largest(self) -> float:
        """Largest magnitude of the entries. Raises `InvalidTensorError` on NaN or infinity."""
        largest = 0.0
        for block in self.decoded_blocks():
            high, low = float(block.max()), float(block.min())
            if not (math.isfinite(high) and math.isfinite(low)):
                self._refuse_non_finite()
            largest = max(largest, high, -low)
        return largest

    def sum(self, scale: float = 1.0) -> float:
        """Sum of the entries of scale * W."""
        return math.fsum(float(block.sum()) for block in self.blocks(scale))

    def _refuse_non_finite(self) -> None:
        bad_ones, value, place = 0, np.nan, ""
        step = max(1, BLOCK_ELEMENTS // self.stored.shape[1])
        for start in range(0, self.stored.shape[0], step):
            block = self.decode(self.stored[start : start + step])
            bad = ~np.isfinite(block)
            if not bad_ones and bad.any():
                row, column = (int(i) for i in np.argwhere(bad)[0])
                value, place = block[row, column], f"row {start + row}, column {column}"
            bad_ones += int(np.count_nonzero(bad))
        raise InvalidTensorError(non_finite(bad_ones, value, place))


def non_finite(number: int, value: float, place: str) -> str:
    """Says that `number` entries are not finite, the first of which is `value` at `place`."""
    entries = count(number, "entry is", "entries are")
    return (
        f"{entries} not finite; the first is {'NaN' if np.isnan(value) else 'infinity'} at {place}"
    )
