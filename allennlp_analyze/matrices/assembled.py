"""Assembles matrices that are not stored as one array, a block of rows at a time."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.storage.mapped import gathered


def flattened(values: np.ndarray, leading: int = 1) -> np.ndarray:
    """Reshape to (rows, columns): one row for each index of the `leading` axes.

    Returns a view if the memory layout allows it. Raises `TensorError` if there is no room.
    """
    flat = (math.prod(values.shape[:leading]), math.prod(values.shape[leading:]))
    axes = list(zip(values.shape, values.strides))
    if _in_one_run(axes[:leading]) and _in_one_run(axes[leading:]):
        return values.reshape(flat)
    return gathered(_flat_rows(values, leading), flat)


def _in_one_run(axes: Iterable[tuple[int, int]]) -> bool:
    """Whether `axes`, each (size, stride), can be merged into one without a copy."""
    kept = [(size, stride) for size, stride in axes if size > 1]
    return all(stride == size * step for (_, stride), (size, step) in zip(kept, kept[1:]))


def _flat_rows(values: np.ndarray, leading: int) -> Iterator[np.ndarray]:
    for index in np.ndindex(values.shape[: leading - 1]):
        for rows in _row_slices(values[index]):
            yield values[index][rows].reshape(rows.stop - rows.start, -1)


def weight_normed(direction: StoredTensor, magnitude: StoredTensor) -> np.ndarray:
    """Returns g v / |v| of torch's weight_norm, shaped as v, with one norm for each entry of g.

    Raises `TensorError` if the values cannot be read, or there is no room for the result.
    """
    v, g = direction.stored(), magnitude.values().astype(np.float64)
    axes = tuple(axis for axis, size in enumerate(g.shape) if size == 1)
    squares = np.zeros(g.shape)
    for rows in _row_slices(v):
        block = direction.decode(v[rows]).astype(np.float64)
        squares[rows if g.shape[0] > 1 else ...] += np.sum(block**2, axis=axes, keepdims=True)
    scale = np.broadcast_to(g / np.sqrt(squares), (len(v), *g.shape[1:]))

    def normed(rows: slice) -> np.ndarray:
        block = direction.decode(v[rows])
        return (block * scale[rows]).astype(block.dtype)

    return gathered((normed(rows) for rows in _row_slices(v)), v.shape)


def pruned(weight: StoredTensor, mask: StoredTensor) -> np.ndarray:
    """Returns the weight where the mask is 1, and 0 elsewhere. Raises as `weight_normed`."""
    stored, kept = weight.stored(), mask.stored()

    def masked(rows: slice) -> np.ndarray:
        block = weight.decode(stored[rows])
        return block * mask.decode(kept[rows]).astype(block.dtype)

    return gathered((masked(rows) for rows in _row_slices(stored)), stored.shape)


def _row_slices(values: np.ndarray) -> Iterator[slice]:
    """Yields slices of the first axis with at most BLOCK_ELEMENTS each, or one row."""
    step = max(1, BLOCK_ELEMENTS // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        yield slice(start, min(start + step, len(values)))
