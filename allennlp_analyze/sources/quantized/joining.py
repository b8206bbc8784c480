"""Joins the stored tensors of quantized weights: one tensor each, decoded when it is read."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.quantized.bitsandbytes import four_bits
from allennlp_analyze.sources.quantized.candidates import may_be_codes
from allennlp_analyze.sources.quantized.group import Group, Tensors, Weight
from allennlp_analyze.sources.quantized.hqq import hqq
from allennlp_analyze.sources.quantized.matrix import Stack
from allennlp_analyze.sources.quantized.microscaling import four_bit_floats, mx_blocks
from allennlp_analyze.sources.quantized.mlx import mlx
from allennlp_analyze.sources.quantized.packed import compressed, gptq_or_awq
from allennlp_analyze.sources.quantized.scaled import scaled
from allennlp_analyze.sources.tensor import ErrorModel, StoredTensor
from allennlp_analyze.text.lines import excerpt

Scheme = Callable[[StoredTensor, Tensors, Mapping[str, Any]], Optional[Group]]
# A new scheme is a function that recognizes the tensor of the codes, and its entry here.
SCHEMES: tuple[Scheme, ...] = (
    four_bits,
    gptq_or_awq,
    compressed,
    mlx,
    hqq,
    mx_blocks,
    four_bit_floats,
    scaled,
)
_PART = "part of a quantized weight"


def join_quantized(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    """Returns `tensors` with each quantized weight as one tensor of float32 under its own name.

    The tensors beside its codes stay, with the reason for skipping them. Codes whose tensors do not
    fit together stay, with the reason in `unsupported`. Values are read on demand, but for a few
    numbers.
    """
    replaced: dict[str, StoredTensor] = {}
    for tensor in tensors.values():
        if not may_be_codes(tensor, tensors):
            continue
        found = (scheme(tensor, tensors, config) for scheme in SCHEMES)
        group = next((one for one in found if one is not None), None)
        if group is not None:
            replaced[tensor.name] = _joined(tensor, group, tensors)
            for other in group.others:
                replaced[other.name] = replace(other, joined=_PART)
    if not replaced:
        return tensors
    renamed = (replaced.get(name, tensor) for name, tensor in tensors.items())
    return {tensor.name: tensor for tensor in renamed}


def _joined(codes: StoredTensor, group: Group, tensors: Tensors) -> StoredTensor:
    try:
        for part in (codes, *group.others):
            if part.load is None:
                raise TensorError(f"quantized, but {part.name} cannot be read: {part.unsupported}")
        if group.name != codes.name and group.name in tensors:
            raise TensorError(f"quantized, but {group.name} is there as well")
        weight = group.make()
    except TensorError as error:
        return replace(codes, load=None, unsupported=excerpt(error, 200))
    rows, columns = weight.shape
    shape: tuple[int, ...] = (rows, columns)
    if isinstance(weight, Stack):
        shape = (weight.size, rows, columns)
    elif weight.transposed:
        shape = (columns, rows)
    parts = (codes, *group.others)
    return StoredTensor(
        name=group.name,
        shape=group.shape or shape,
        dtype="float32",
        storage=("quantized", *(part.storage for part in parts)),
        load=partial(_load, weight, group.shape),
        unpacked=sum(part.unpacked for part in parts),
        kind=codes.kind,
        noise=partial(_noise, weight),
        remote=tuple(block for part in parts for block in part.remote),
    )


def _load(weight: Weight, shape: Optional[tuple[int, ...]]) -> Any:
    """Returns the dequantized values. Raises `TensorError`."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = weight.whole()
    return values if shape is None else values.reshape(shape)


def _noise(weight: Weight) -> ErrorModel:
    with np.errstate(over="ignore", invalid="ignore"):
        return weight.noise()
