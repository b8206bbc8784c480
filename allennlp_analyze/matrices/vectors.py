"""Looks for NaN and infinity in what is skipped: biases, gains and running statistics."""

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.names import split_name
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.sources.blocks import non_finite
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor

# Every output depends on these, whatever the inputs are.
_READ = frozenset(("bias", "vector", "normalization: a scale, not a matrix"))
_STATISTICS = ("running_mean", "running_var")
# Larger ones are tables, not vectors.
_MOST_VALUES = 1 << 24
NOT_FETCHED = "values not fetched"


def with_invalid_vectors(
    source: Source, skipped: Iterable[Skipped], chosen: Optional[Iterable[WeightMatrix]] = None
) -> list[Skipped]:
    """Returns `skipped` with `invalid` and the reason for each vector with NaN or infinity.

    If only the matrices `chosen` were asked for, the vectors of other layers are not fetched from a
    server, which their reason says.
    An entry of -inf in a bias is a mask that is meant: the softmax after it gives 0.
    """
    modules = _modules_of(chosen)
    return [_checked(source, one, modules) for one in skipped]


def vectors(
    source: Source, skipped: Iterable[Skipped], chosen: Optional[Iterable[WeightMatrix]] = None
) -> list[StoredTensor]:
    """Returns the tensors whose values `with_invalid_vectors` reads."""
    modules = _modules_of(chosen)
    found = (_vector(source, one) for one in skipped)
    return [x for x in found if x is not None and not _is_left(x, modules)]


def _modules_of(chosen: Optional[Iterable[WeightMatrix]]) -> Optional[set[str]]:
    return None if chosen is None else {split_name(x.parameter)[0] for x in chosen}


def _is_left(tensor: StoredTensor, modules: Optional[Collection[str]]) -> bool:
    """Whether a tensor on a server belongs to no module in question."""
    is_other = modules is not None and split_name(tensor.name)[0] not in modules
    return is_other and bool(tensor.remote)


def _vector(source: Source, one: Skipped) -> Optional[StoredTensor]:
    """Returns the tensor that was skipped if it is a vector of the network, None if it is not."""
    is_read = one.reason in _READ or one.parameter.endswith(_STATISTICS)
    tensor = source.tensors.get(one.parameter) if is_read else None
    if tensor is None or tensor.unsupported is not None or math.prod(one.shape) > _MOST_VALUES:
        return None
    return tensor if tensor.dtype.startswith(("float", "bfloat")) else None


def _checked(source: Source, one: Skipped, modules: Optional[Collection[str]]) -> Skipped:
    tensor = _vector(source, one)
    if tensor is None:
        return one
    if _is_left(tensor, modules):
        return replace(one, reason=f"{one.reason}; {NOT_FETCHED}")
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
