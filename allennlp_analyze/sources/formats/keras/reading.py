"""Reads the weights of a Keras model from .keras, .weights.h5 or .h5; values are mapped."""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.arrays.layouts import Array, dtype_name, unread, with_axes
from allennlp_analyze.sources.formats.checkpoint_keys import OF_OPTIMIZER, is_optimizer_key
from allennlp_analyze.sources.formats.guarded import mapped, reading
from allennlp_analyze.sources.formats.keras.hdf5 import (
    MAGIC,
    MAX_ATTRIBUTE_BYTES,
    Dataset,
    datasets,
    open_hdf5,
    text_attribute,
)
from allennlp_analyze.sources.formats.keras.layers import CLASSES, classes_of, placed, role_of, stem
from allennlp_analyze.sources.formats.torch_zip import blocks_of_zip
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from allennlp_analyze.text.lines import excerpt

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_VARIABLES = "vars"
_CONTAINERS = ("layers", "_layers", "model_weights")


def read_keras(path: Path, label: str) -> Weights:
    """Returns the weights of a Keras model, laid out and called as in torch.

    Kinds are those of the classes that the model's configuration names, or else of Keras's own
    names of layers. Raises `CheckpointError`.
    """
    with reading(label):
        mapping = mapped(path)
        stored, config = _contents(mapping, str(path))
        file = open_hdf5(stored)
        config = config or text_attribute(file, "model_config")
        return Weights(_tensors(datasets(file, stored), classes_of(config)))


def _contents(mapping: mmap.mmap, path: str) -> tuple[np.ndarray, Optional[str]]:
    """Returns the bytes of the HDF5 file, and the configuration that stands beside it."""
    if mapping[: len(MAGIC)] == MAGIC:
        return np.frombuffer(mapping, np.uint8), None
    if mapping[:4] != b"PK\x03\x04":
        raise CheckpointError("is not a file of Keras")
    members = blocks_of_zip(mapping, path)
    if _WEIGHTS not in members or _CONFIG not in members:
        raise CheckpointError(f"is a zip file without Keras's {_CONFIG} and {_WEIGHTS}")
    if members[_CONFIG].nbytes > MAX_ATTRIBUTE_BYTES:
        raise CheckpointError(f"{_CONFIG} has {members[_CONFIG].nbytes} bytes, too many")
    config = members[_CONFIG].read().tobytes().decode("utf-8", "replace")
    return members[_WEIGHTS].read(), config


def _tensors(found: Iterator[Dataset], classes: Mapping[str, str]) -> dict[str, StoredTensor]:
    arrays = list(found)
    beside: dict[tuple[str, ...], list[Dataset]] = {}
    for array in arrays:
        beside.setdefault(array.path[:-1], []).append(array)
    tensors: dict[str, StoredTensor] = {}
    for array in arrays:
        tensor = _tensor(array, beside[array.path[:-1]], classes)
        if tensor.name in tensors:  # two layers of one name
            name = ".".join(array.path)
            tensor = replace(tensor, name=name, storage=name)
        if tensor.name in tensors:
            raise CheckpointError(f"contains {excerpt(tensor.name)} twice")
        tensors[tensor.name] = tensor
    if not tensors:
        raise CheckpointError("is an HDF5 file without arrays")
    return tensors


def _tensor(array: Dataset, beside: Sequence[Dataset], classes: Mapping[str, str]) -> StoredTensor:
    """Returns one array; `beside` are all arrays of its group, with itself."""
    if is_optimizer_key(array.path[0]):
        tensor = unread(array.path, array.shape, "")
        return replace(tensor, unsupported=None, joined=OF_OPTIMIZER)
    module = _module(array)
    layer = module[-1] if module else ""
    own, role = _class_and_role(array, layer, beside, classes)
    dtype = dtype_name(array.code)
    if array.block is None or dtype is None:
        reason = array.why_not or f"HDF5's type {excerpt(array.code, 40)}: not read"
        return unread((*module, role or array.path[-1]), array.shape, reason)
    whole = Array(array.shape, dtype, array.block, is_swapped=array.code.startswith(">"))
    if role is None:
        return with_axes(".".join((*module, _VARIABLES, array.path[-1])), whole, whole.axes)
    place = placed(own, stem(layer), role, whole.axes)
    return with_axes(".".join((*module, place.leaf)), whole, place.axes, place.kind)


def _module(array: Dataset) -> tuple[str, ...]:
    """The names of the layers around an array, as Keras shows them."""
    groups = [
        name or group
        for group, name in zip(array.path[:-1], array.names)
        if group not in (*_CONTAINERS, _VARIABLES)
    ]
    is_twice = len(groups) > 1 and groups[0] == groups[1]  # of .h5: "dense/dense/kernel"
    return tuple(groups[1:] if is_twice else groups)


def _class_and_role(
    array: Dataset, layer: str, beside: Sequence[Dataset], classes: Mapping[str, str]
) -> tuple[str, Optional[str]]:
    """Returns a layer's class in snake case, and what the array is to it."""
    leaf = array.path[-1].partition(":")[0]  # of Keras 2: "kernel:0"
    candidates = [classes.get(layer, ""), stem(layer)]
    if array.path[-2:-1] == (_VARIABLES,):
        if len(array.path) > 2:
            candidates.append(stem(array.path[-3]))
        for own in candidates:
            role = role_of(own, int(leaf), len(beside)) if leaf.isdecimal() else None
            if role is not None:
                return own, role
        return candidates[0], None
    own = next((name for name in candidates if name in CLASSES), candidates[0])
    hidden = [x for x in beside if x.path[-1].partition(":")[0] == "recurrent_kernel"]
    if hidden and len(hidden[0].shape) == 2:
        rows, columns = hidden[0].shape
        own = "gru_cell" if columns == 3 * rows else "lstm_cell"
    return own, leaf
