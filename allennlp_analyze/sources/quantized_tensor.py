"""Turns the integers of torch's quantized tensors into the numbers that they stand for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS, as_stored
from allennlp_analyze.sources.tensor import StoredTensor, Take
from allennlp_analyze.storage.mapped import mapped_copy

# The types of the stored integers.
INTEGERS = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}
# What torch's `dequantize` returns.
_NUMBERS = "float32"


@dataclass(frozen=True)
class _Scales:
    """(q - zero) * scale along `axis`; without an axis, each is one number."""

    scale: np.ndarray
    zero: np.ndarray
    axis: Optional[int]

    def applied(self, integers: np.ndarray, rows: slice) -> np.ndarray:
        scale, zero = self.scale, self.zero
        if self.axis is not None:
            along = [1] * integers.ndim
            along[self.axis] = -1
            scale, zero = scale.reshape(along), zero.reshape(along)
            if self.axis == 0:
                scale, zero = scale[rows], zero[rows]
        return (integers.astype(np.int64) - zero).astype(np.float32) * scale.astype(np.float32)


def dequantized(
    integers: StoredTensor, scale: np.ndarray, zero: np.ndarray, axis: Optional[int] = None
) -> StoredTensor:
    """Returns the tensor of the numbers for which `integers` stand.

    It has no values if the scales do not fit.
    """
    expected = () if axis is None else integers.shape[axis : axis + 1]
    fits = scale.shape == zero.shape == expected and (axis is None or 0 <= axis)
    if not fits or not np.isfinite(scale).all() or zero.dtype.kind not in "iuf":
        return replace(integers, load=None, unsupported="a quantized tensor without its scales")
    scales = _Scales(np.asarray(scale, np.float64), zero, axis)
    return replace(
        integers,
        dtype=_NUMBERS,
        load=lambda: _numbers(integers, scales),
        decode=as_stored,
        noise=lambda: Steps(scales.scale, axis),
    )


@dataclass(frozen=True)
class Steps:
    """The errors of rounding to steps of `scale`, one for all or for each index of `axis`."""

    scale: np.ndarray
    axis: Optional[int] = None

    def of(self, take: Take, shape: tuple[int, ...]) -> float:
        """Returns the root mean square error of what `take` takes from a tensor of `shape`."""
        along = [1] * len(shape)
        if self.axis is not None:
            along[self.axis] = -1
        squares = (np.asarray(self.scale, np.float64) ** 2 / 12).reshape(along)
        return math.sqrt(float(np.mean(take(np.broadcast_to(squares, shape)))))


def _numbers(integers: StoredTensor, scales: _Scales) -> np.ndarray:
    stored = integers.decode(integers.stored())
    if not stored.ndim or not stored.size:
        return scales.applied(stored, slice(None))
    try:
        written = mapped_copy(block.data for block in _blocks(stored, scales))
    except OSError as error:
        reason = error.strerror or error
        raise TensorError(f"{integers.name}: failed to dequantize ({reason})") from None
    return written.view(np.float32).reshape(stored.shape)


def _blocks(stored: np.ndarray, scales: _Scales) -> Iterator[np.ndarray]:
    """Yields the numbers, some rows at a time."""
    step = max(1, BLOCK_ELEMENTS // max(1, math.prod(stored.shape[1:])))
    for start in range(0, len(stored), step):
        rows = slice(start, start + step)
        yield np.ascontiguousarray(scales.applied(stored[rows], rows))
