"""Assembles matrices that are not stored as one array, a block of rows at a time."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.storage.mapped import gathered

# Of a skew-symmetric matrix: the exponential of larger values would take ever longer.
_LARGEST_ANGLE = 1e6


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


def fits_weight_norm(direction: Sequence[int], magnitude: Sequence[int]) -> bool:
    """Whether a magnitude of this shape scales a direction of that shape as weight_norm does.

    torch has one value for each index of one dimension, or one value for all. Others leave out the
    dimensions of size 1.
    """
    if math.prod(magnitude) == 1:
        return True
    if len(magnitude) == 1:
        return magnitude[0] in direction
    return len(magnitude) == len(direction) and all(
        own in (1, size) for own, size in zip(magnitude, direction)
    )


def _with_all_dimensions(magnitude: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    if magnitude.ndim == len(shape):
        return magnitude
    sizes = [1] * len(shape)
    if magnitude.size > 1:
        sizes[list(shape).index(magnitude.size)] = magnitude.size
    return magnitude.reshape(sizes)


def weight_normed(direction: StoredTensor, magnitude: StoredTensor) -> np.ndarray:
    """Returns g v / |v| of torch's weight_norm, shaped as v, with one norm for each entry of g.

    Raises `TensorError` if the values cannot be read, or there is no room for the result.
    """
    v = direction.stored()
    g = _with_all_dimensions(magnitude.values().astype(np.float64), v.shape)
    axes = tuple(axis for axis, size in enumerate(g.shape) if size == 1)
    squares = np.zeros(g.shape)
    for rows in _row_slices(v):
        block = direction.decode(v[rows]).astype(np.float64)
        with np.errstate(all="ignore"):
            sums = np.sum(block**2, axis=axes, keepdims=True)
            squares[rows if g.shape[0] > 1 else ...] += sums
    with np.errstate(all="ignore"):  # 0 / 0 is NaN, as in torch
        scale = np.broadcast_to(g / np.sqrt(squares), (len(v), *g.shape[1:]))

    def normed(rows: slice) -> np.ndarray:
        block = direction.decode(v[rows])
        with np.errstate(all="ignore"):
            return (block * scale[rows]).astype(block.dtype)

    return gathered((normed(rows) for rows in _row_slices(v)), v.shape)


def spectral_normed(weight: StoredTensor, left: StoredTensor, right: StoredTensor) -> np.ndarray:
    """Returns W / (u^T W v) of torch's spectral_norm. Raises as `weight_normed`.

    u belongs to the dimension of its size; of several, to that in which u^T W v is the largest, as
    it is for the singular vectors of W.
    """
    stored = weight.stored()
    u, v = (x.values().astype(np.float64) for x in (left, right))
    places = [axis for axis, size in enumerate(stored.shape) if size == len(u)]
    sums = [_quadratic_form(weight, stored, u, v, axis) for axis in places]
    sigma = max(sums, key=abs)

    def normed(rows: slice) -> np.ndarray:
        block = weight.decode(stored[rows])
        with np.errstate(all="ignore"):
            return (block / sigma).astype(block.dtype)

    return gathered((normed(rows) for rows in _row_slices(stored)), stored.shape)


def _quadratic_form(
    weight: StoredTensor, stored: np.ndarray, u: np.ndarray, v: np.ndarray, axis: int
) -> float:
    """Returns u^T W v, where the rows of W are the indices of `axis`."""
    shape = stored.shape
    others = np.expand_dims(v.reshape(shape[:axis] + shape[axis + 1 :]), axis)
    own = u.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    total = 0.0
    for rows in _row_slices(stored):
        block = weight.decode(stored[rows]).astype(np.float64)
        first, second = (x[rows] if len(x) == len(stored) else x for x in (own, others))
        with np.errstate(all="ignore"):
            total += float(np.sum(block * first * second))
    return total


def orthogonal(weight: StoredTensor, base: StoredTensor) -> np.ndarray:
    """Returns B Q of torch's orthogonal parametrization by its usual map.

    Q is the matrix exponential of a square matrix, else the product of Householder reflections; the
    singular values are 1. Raises as `weight_normed`.
    """
    from scipy.linalg import expm
    from scipy.linalg.lapack import dorgqr

    stored = weight.values()
    x = stored.astype(np.float64)
    x = x.T if x.shape[0] < x.shape[1] else x
    if not np.abs(x).max() <= _LARGEST_ANGLE:
        raise TensorError(f"{weight.name}: its values are too large for an orthogonal matrix")
    lower = np.tril(x, -1)
    if x.shape[0] == x.shape[1]:
        q = expm(lower - lower.T)
    else:
        factors = 2 / (1 + np.sum(lower**2, axis=0))
        q = dorgqr(lower, factors)[0] * np.trunc(np.diagonal(x))
    with np.errstate(all="ignore"):
        q = base.values().astype(np.float64) @ q
    with np.errstate(all="ignore"):
        return (q.T if stored.shape[0] < stored.shape[1] else q).astype(stored.dtype)


def pruned(weight: StoredTensor, mask: StoredTensor) -> np.ndarray:
    """Returns the weight where the mask is 1, and 0 elsewhere. Raises as `weight_normed`."""
    stored, kept = weight.stored(), mask.stored()

    def masked(rows: slice) -> np.ndarray:
        block = weight.decode(stored[rows])
        with np.errstate(all="ignore"):
            return block * mask.decode(kept[rows]).astype(block.dtype)

    return gathered((masked(rows) for rows in _row_slices(stored)), stored.shape)


def _row_slices(values: np.ndarray) -> Iterator[slice]:
    """Yields slices of the first axis with at most BLOCK_ELEMENTS each, or one row."""
    step = max(1, BLOCK_ELEMENTS // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        yield slice(start, min(start + step, len(values)))
