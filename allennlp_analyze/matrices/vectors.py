"""Looks for NaN and infinity in what is skipped: biases, gains and running statistics."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.sources.blocks import non_finite
from allennlp_analyze.sources.source import Source

# Every output depends on these, whatever the inputs are.
_READ = frozenset(("bias", "vector", "normalization: a scale, not a matrix"))
_STATISTICS = ("running_mean", "running_var")
# Larger ones are tables, not vectors.
_MOST_VALUES = 1 << 24


def with_invalid_vectors(source: Source, skipped: Iterable[Skipped]) -> list[Skipped]:
    """Returns `skipped` with `invalid` and the reason for each vector with NaN or infinity.

    An entry of -inf in a bias is a mask that is meant: the softmax after it gives 0.
    """
    return [_checked(source, one) for one in skipped]


def _checked(source: Source, one: Skipped) -> Skipped:
    is_read = one.reason in _READ or one.parameter.endswith(_STATISTICS)
    tensor = source.tensors.get(one.parameter) if is_read else None
    if tensor is None or tensor.unsupported is not None or math.prod(one.shape) > _MOST_VALUES:
        return one
    if not tensor.dtype.startswith(("float", "bfloat")):
        return one
    try:
        values = np.asarray(tensor.values(), np.float64)
    except TensorError as error:
        return replace(one, reason=f"{one.reason}; {error}")
    bad = ~np.isfinite(values)
    if one.reason == "bias":
        bad &= ~np.isneginf(values)
    if not bad.any():
        return one
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    found = non_finite(int(np.count_nonzero(bad)), values[first], ", ".join(map(str, first)))
    return replace(one, reason=f"{one.reason}; {found}", invalid=True)
