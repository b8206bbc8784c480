"""Rows of a quantized matrix from its codes and tables of scales: whole numbers or a code book."""

from dataclasses import dataclass
from typing import Callable, Optional, Protocol

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.lines import excerpt


class Spread(Protocol):
    """Numbers that are spread over a matrix."""

    def at(self, rows: slice) -> np.ndarray:
        """Returns those of `rows`, or what broadcasts to them."""
        ...


# The rows of codes of a matrix.
Codes = Callable[[slice], np.ndarray]
# The variance of an error that is uniform within one step.
UNIFORM = 1.0 / 12.0


class UnfitError(TensorError):
    """The tensors of a group do not fit together; says why."""


class Scales:
    """A table (a, b) of scales that is spread over a matrix.

    `rows` and `columns` are the table's index for each row and column of the matrix; None if it has
    one for each. An axis of size 1 counts for all.
    """

    def __init__(
        self,
        table: np.ndarray,
        rows: Optional[np.ndarray] = None,
        columns: Optional[np.ndarray] = None,
    ) -> None:
        self._table, self._rows, self._columns = table, rows, columns

    def at(self, rows: slice) -> np.ndarray:
        """Returns the scales of `rows`, or what broadcasts to them."""
        table = self._table
        if len(table) > 1:
            table = table[rows] if self._rows is None else table[self._rows[rows]]
        if table.shape[1] > 1 and self._columns is not None:
            table = table[:, self._columns]
        return table


class FlatScales:
    """Scales of consecutive entries, `size` each, counted through the rows of the matrix."""

    def __init__(self, scales: np.ndarray, size: int, columns: int) -> None:
        self._scales, self._size, self._columns = scales, size, columns

    def at(self, rows: slice) -> np.ndarray:
        begin, end = rows.start * self._columns, rows.stop * self._columns
        first, last = begin // self._size, -(-end // self._size)
        spread = np.repeat(self._scales[first:last], self._size)
        skipped = begin - first * self._size
        return spread[skipped : skipped + end - begin].reshape(-1, self._columns)


@dataclass(frozen=True)
class Whole:
    """(code - zero) * scale + bias, with a step of `scale`."""

    codes: Codes
    scales: Spread
    zeros: Optional[Spread] = None
    zero: float = 0.0
    biases: Optional[Spread] = None

    def values(self, rows: slice) -> np.ndarray:
        found = self.codes(rows).astype(np.float32)
        if self.zeros is not None:
            found -= self.zeros.at(rows)
        if self.zero:
            found -= np.float32(self.zero)
        found *= self.scales.at(rows)
        if self.biases is not None:
            found += self.biases.at(rows)
        return found

    def variances(self, rows: slice) -> np.ndarray:
        return np.square(self.scales.at(rows)) * np.float32(UNIFORM)


@dataclass(frozen=True)
class Book:
    """book[code] * scale; `errors` has the variance of the error of each code."""

    codes: Codes
    book: np.ndarray
    errors: np.ndarray
    scales: Spread

    def values(self, rows: slice) -> np.ndarray:
        found = self.book[self.codes(rows)]
        found *= self.scales.at(rows)
        return found

    def variances(self, rows: slice) -> np.ndarray:
        found = self.errors[self.codes(rows)]
        found *= np.square(self.scales.at(rows))
        return found


def numbers(tensor: StoredTensor) -> np.ndarray:
    """Returns the values of a small tensor as float32. Raises `TensorError`."""
    return np.asarray(tensor.values()).astype(np.float32)


def codes_of(tensor: StoredTensor) -> np.ndarray:
    """Returns the stored bytes of a tensor of 8 bits as uint8. Raises `TensorError`."""
    return tensor.stored().view(np.uint8)


def words_of(tensor: StoredTensor) -> np.ndarray:
    """Returns the stored 32-bit words. Raises `TensorError`."""
    return tensor.stored().view(np.uint32)


def of_index(values: np.ndarray, index: Optional[int]) -> np.ndarray:
    """Returns one matrix of a stack, or `values` if `index` is None."""
    return values if index is None else values[index]


def checked_index(tensor: StoredTensor, size: int, groups: int) -> np.ndarray:
    """Returns the group of each of `size` inputs, all below `groups`. Raises `TensorError`."""
    found = np.asarray(tensor.values()).reshape(-1)
    if len(found) != size:
        raise UnfitError(f"{tensor.name} has {len(found)} values for {size} inputs")
    if len(found) and not (int(found.min()) >= 0 and int(found.max()) < groups):
        raise UnfitError(f"{tensor.name} names groups outside of the {groups} that there are")
    return found.astype(np.intp)


def unfit(scales: StoredTensor, shape: tuple[int, ...]) -> UnfitError:
    """The error of a table that does not fit a weight of `shape`."""
    return UnfitError(
        f"quantized, but its {scales.name.rpartition('.')[2]} of shape {_sizes(scales.shape)} does"
        f" not fit a weight of {_sizes(shape)}"
    )


def _sizes(shape: tuple[int, ...]) -> str:
    return excerpt(" x ".join(map(str, shape)) or "1", 60)
