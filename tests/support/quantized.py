"""Tensors of quantized weights, made by an independent packing."""

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from allennlp_analyze.sources.quantized.joining import join_quantized
from allennlp_analyze.sources.small_floats import FLOAT8, table
from allennlp_analyze.sources.tensor import StoredTensor

NAME = "model.layers.0.mlp.up_proj"


def stored(name: str, values: np.ndarray, dtype: Optional[str] = None) -> StoredTensor:
    known = dtype in FLOAT8
    return StoredTensor(
        name=name,
        shape=values.shape,
        dtype=dtype or values.dtype.name,
        storage=name,
        load=lambda: values,
        decode=(lambda codes: table(str(dtype))[codes]) if known else (lambda numbers: numbers),
    )


def joined(
    parts: Mapping[str, Any], config: Optional[Mapping[str, Any]] = None
) -> Mapping[str, StoredTensor]:
    """Joins arrays, or arrays with the name of their type, by their names in one module."""
    tensors = {}
    for leaf, part in parts.items():
        values, dtype = part if isinstance(part, tuple) else (part, None)
        tensors[f"{NAME}.{leaf}"] = stored(f"{NAME}.{leaf}", values, dtype)
    return join_quantized(tensors, config or {})


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """The codes of each column as one stream of bits in words of 32, the lowest first."""
    stream = (codes[:, :, None] >> np.arange(bits)) & 1  # (n, columns, bits)
    stream = np.moveaxis(stream, 1, 0).reshape(codes.shape[1], -1).astype(np.uint8)
    missing = -stream.shape[1] % 32
    stream = np.pad(stream, ((0, 0), (0, missing)))
    packed = np.packbits(stream, axis=1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").T


def gptq(
    bits: int,
    inputs: int = 96,
    outputs: int = 32,
    size: int = 32,
    seed: int = 0,
    order: bool = True,
) -> "tuple[dict[str, np.ndarray], np.ndarray]":
    """The tensors of GPTQ's first format, and the weight."""
    random = np.random.default_rng(seed)
    groups = -(-inputs // size)
    codes = random.integers(0, 1 << bits, (inputs, outputs))
    zeros = random.integers(1, 1 << bits, (groups, outputs))
    scales = (random.random((groups, outputs)) * 0.01).astype(np.float16)
    index = random.permutation(np.arange(inputs) // size) if order else np.arange(inputs) // size
    weight = (codes - zeros[index]) * scales[index].astype(np.float64)
    parts = {
        "qweight": pack(codes, bits).view(np.int32),
        "qzeros": pack(zeros.T - 1, bits).T.view(np.int32),
        "scales": scales,
    }
    if order:
        parts["g_idx"] = index.astype(np.int32)
    return parts, weight.T
