"""A quantized matrix: decodes its rows block by block, and knows the noise of the quantization."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Protocol

import numpy as np

from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS
from allennlp_analyze.sources.tensor import Take
from allennlp_analyze.storage.mapped import gathered


class Rows(Protocol):
    """Reads rows of one matrix; the small tensors beside the codes are in memory."""

    def values(self, rows: slice) -> np.ndarray:
        """Returns the decoded rows as float32."""
        ...

    def variances(self, rows: slice) -> np.ndarray:
        """Returns the variance of the error of each of their entries, or what broadcasts to it."""
        ...


@dataclass(frozen=True)
class Quantized:
    """A matrix of `shape` (rows, columns) as its codes are stored.

    `open` reads the small tensors. Rows are read in multiples of `multiple`. If `transposed`, the
    weight is the transpose.
    """

    shape: tuple[int, int]
    open: Callable[[], Rows] = field(repr=False)
    multiple: int = 1
    transposed: bool = False

    def whole(self) -> np.ndarray:
        """Returns the weight as float32: in memory, or in a file if it is large.

        Raises `TensorError` if the tensors do not fit together, or there is no room.
        """
        opened = self.open()
        blocks = (opened.values(rows) for rows in self._slices())
        values = gathered(blocks, self.shape)
        return values.T if self.transposed else values

    def noise(self) -> "Noise":
        """Returns the noise of the weight. Raises `TensorError`."""
        opened = self.open()
        by_rows, by_columns = np.zeros(self.shape[0]), np.zeros(self.shape[1])
        for rows in self._slices():
            block = opened.variances(rows)
            block = np.broadcast_to(block, (rows.stop - rows.start, self.shape[1]))
            by_rows[rows] = block.mean(axis=1, dtype=np.float64)
            by_columns += block.sum(axis=0, dtype=np.float64) / self.shape[0]
        return Noise(by_columns, by_rows) if self.transposed else Noise(by_rows, by_columns)

    def _slices(self) -> Iterator[slice]:
        step = max(1, BLOCK_ELEMENTS // self.shape[1] // self.multiple) * self.multiple
        for start in range(0, self.shape[0], step):
            yield slice(start, min(start + step, self.shape[0]))


@dataclass(frozen=True)
class Noise:
    """Means of the variances of the errors of a matrix's entries, by rows and by columns.

    Scales are by rows, columns or blocks, so the product of both means, over the mean of all, is
    near the variance of each entry, and exact for the mean over whole rows or columns.
    """

    by_rows: np.ndarray = field(repr=False)
    by_columns: np.ndarray = field(repr=False)

    def of(self, take: Take, shape: tuple[int, ...]) -> float:
        """Returns the root mean square error of the entries that `take` takes from the tensor."""
        mean = float(self.by_rows.mean())
        if not 0 < mean < math.inf:
            return 0.0
        if len(shape) != 2:  # a convolution
            return math.sqrt(mean)
        rows = take(np.broadcast_to(self.by_rows[:, None], shape))
        columns = take(np.broadcast_to(self.by_columns, shape))
        found = float(rows.mean(dtype=np.float64)) * float(columns.mean(dtype=np.float64))
        return math.sqrt(found / mean)


@dataclass(frozen=True)
class Stack:
    """Several quantized matrices of one shape: the experts of a mixture, by index."""

    size: int
    shape: tuple[int, int]
    at: Callable[[int], Quantized] = field(repr=False)

    def whole(self) -> Any:
        """Returns what stands for the array (size, rows, columns): one matrix is decoded when it
        is taken by its index."""
        return Lazy((self.size, *self.shape), lambda index: self.at(index).whole())

    def noise(self) -> "StackNoise":
        return StackNoise(self)


@dataclass(frozen=True)
class StackNoise:
    """The noise of each matrix of a stack."""

    stack: Stack

    def of(self, take: Take, shape: tuple[int, ...]) -> float:
        """The same as `Noise.of`; the matrix is known when `take` takes it."""
        known: dict[int, Noise] = {}

        def found(index: int) -> Noise:
            if index not in known:
                known[index] = self.stack.at(index).noise()
            return known[index]

        matrix = self.stack.shape
        rows = Lazy(shape, lambda i: np.broadcast_to(found(i).by_rows[:, None], matrix))
        columns = Lazy(shape, lambda i: np.broadcast_to(found(i).by_columns, matrix))
        means = Lazy(shape, lambda i: np.broadcast_to(found(i).by_rows.mean(), matrix))
        parts: tuple[Any, ...] = (rows, columns, means)
        by_rows, by_columns, mean = (float(take(part).mean(dtype=np.float64)) for part in parts)
        if not 0 < mean < math.inf:
            return 0.0
        return math.sqrt(by_rows * by_columns / mean)


class Lazy:
    """Stands for an array of three dimensions whose matrices are made when they are taken."""

    ndim = 3

    def __init__(self, shape: tuple[int, ...], at: Callable[[int], np.ndarray]) -> None:
        self.shape = shape
        self._at = at

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple) and len(key) == 1:
            key = key[0]
        if isinstance(key, (int, np.integer)):
            return self._at(int(key))
        return self.__array__()[key]

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray:
        """Decode all matrices at once, for uses other than one by one."""
        whole = gathered((np.ascontiguousarray(self._at(i)) for i in range(len(self))), self.shape)
        return whole if dtype is None else whole.astype(dtype)

    def reshape(self, *shape: Any) -> np.ndarray:
        return self.__array__().reshape(*shape)

    def mean(self, **options: Any) -> float:
        return float(self.__array__().mean(**options))
