"""Reads a GGUF file, or all parts of a split one: its tensors and what it says of its model."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.foreign import describe
from allennlp_analyze.sources.formats.gguf.config import config_of
from allennlp_analyze.sources.formats.gguf.header import (
    MAGIC,
    Header,
    TensorInfo,
    Value,
    read_header,
)
from allennlp_analyze.sources.formats.gguf.names import (
    expert_names,
    is_stack,
    kind_of,
    name_of_factor,
)
from allennlp_analyze.sources.formats.gguf.quantized import QuantizedTensor
from allennlp_analyze.sources.formats.gguf.splits import number_of, parts_of
from allennlp_analyze.sources.formats.gguf.types import TYPES, BlockType, why_not
from allennlp_analyze.sources.formats.guarded import reading
from allennlp_analyze.sources.pickles.description import StorageRef, TensorRef, contiguous_strides
from allennlp_analyze.sources.remote_block import remote
from allennlp_analyze.sources.stored_file import Place, StoredFile, opened
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from allennlp_analyze.sources.views import MAX_TENSORS, stored_tensor
from allennlp_analyze.text.lines import excerpt

_COMFY_SHAPE = "comfy.gguf.orig_shape."
_HEAD_BYTES = 512


def read_gguf(place: Place, label: str) -> Weights:
    """Returns the contents of a GGUF file; values are read, and dequantized, on demand.

    If the file is a part of a split one, the others must be in its directory. Messages use `label`
    in place of the path. Raises `CheckpointError`.
    """
    with reading(label):
        try:
            first = _open(place)
            count = first.header.values.get("split.count", 1)
            if isinstance(count, int) and count > 1:
                return _weights(_opened_parts(first, count))
            return _weights([first])
        except MemoryError:
            raise CheckpointError("its header does not fit into the memory") from None


@dataclass(frozen=True)
class _File:
    """One part of a model with its header."""

    stored: StoredFile
    header: Header


def _open(place: Place) -> _File:
    if isinstance(place, Path) and place.is_file() and place.stat().st_size < len(MAGIC):
        raise CheckpointError("is too short for a GGUF file")
    file = opened(place)
    begins = file.begin(_HEAD_BYTES)[:_HEAD_BYTES]
    if begins[: len(MAGIC)] != MAGIC:
        raise CheckpointError(describe(begins) or "is not a GGUF file")
    return _File(file, read_header(file))


def _opened_parts(first: _File, count: int) -> list[_File]:
    """Returns all parts of a split model. Raises `CheckpointError` if one is missing or another."""
    paths = parts_of(first.stored.path)
    if len(paths) != count:
        raise CheckpointError(
            f"is one of {count} parts of a split file; put all of them into one directory, with"
            f" names that end in -00001-of-{count:05d}.gguf and so on"
        )
    files = []
    for part in paths:
        other = first.stored.beside(part.name)
        if other is None:
            raise CheckpointError(f"the part {part.name} is missing")
        files.append(_open(other))
        values = files[-1].header.values
        if values.get("split.no") != number_of(part) - 1 or values.get("split.count") != count:
            raise CheckpointError(f"{part.name} is not the part that its name says")
    total = files[0].header.values.get("split.tensors.count")
    found = sum(len(file.header.tensors) for file in files)
    if total is not None and total != found:
        raise CheckpointError(f"its parts contain {found} tensors; it should be {excerpt(total)}")
    return files


def _weights(files: list[_File]) -> Weights:
    if sum(len(file.header.tensors) for file in files) > MAX_TENSORS:
        raise CheckpointError(f"contains more than {MAX_TENSORS} tensors")
    values: dict[str, Value] = {}
    for file in reversed(files):
        values.update(file.header.values)
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        _check_overlaps(file)
        for info in file.header.tensors:
            split = is_stack(info.name, len(info.shape))
            split = split and len(tensors) + 2 * info.shape[0] <= MAX_TENSORS
            for tensor in _experts(file, info) if split else [_tensor(file, info, values)]:
                if tensor.name in tensors:
                    raise CheckpointError(f"has the tensor {excerpt(tensor.name)} twice")
                tensors[tensor.name] = tensor  # names its storage
    return Weights(tensors, config_of(values, tensors))


def _check_overlaps(file: _File) -> None:
    placed = []
    for info in file.header.tensors:
        kind = TYPES.get(info.type_number)
        size = _nbytes(info, kind) if kind else 0
        if info.offset + size > file.stored.size:
            raise CheckpointError(
                f"is truncated: tensor {excerpt(info.name)} of {excerpt(size, 40)} bytes at"
                f" {info.offset} in a file of {file.stored.size} bytes"
            )
        if size:
            placed.append((info.offset, info.offset + size, info.name))
    placed.sort()
    for (_, end, name), (start, _, other) in zip(placed, placed[1:]):
        if start < end:
            raise CheckpointError(f"tensors {excerpt(name)} and {excerpt(other)} overlap")


def _nbytes(info: TensorInfo, kind: BlockType) -> int:
    row = info.shape[-1] if info.shape else 1
    if row % kind.size:
        raise CheckpointError(
            f"tensor {excerpt(info.name)} has rows of {row} numbers, no multiple of the"
            f" {kind.size} in a block of {kind.name}"
        )
    return math.prod(info.shape) // kind.size * kind.nbytes


def _experts(file: _File, info: TensorInfo) -> Iterator[StoredTensor]:
    """Yields each matrix of a stack of experts as a tensor, so that one alone can be read."""
    experts, rows, columns = info.shape
    kind = TYPES.get(info.type_number)
    offset = info.offset
    for index in range(experts):
        names = expert_names(info.name, rows, index)
        for name in names:
            part = TensorInfo(name, (rows // len(names), columns), info.type_number, offset)
            yield replace(_tensor(file, part, {}), kind="linear")
            offset += _nbytes(part, kind) if kind else 0


def _tensor(file: _File, info: TensorInfo, values: Mapping[str, Value]) -> StoredTensor:
    name = name_of_factor(info.name)
    kind = TYPES.get(info.type_number)
    shape = _shape(info, values)
    stated = kind_of(name, len(shape))
    if kind is None:
        reason = f"GGUF's type {info.type_number} is not supported"
        return StoredTensor(name, shape, "unknown", name, None, unsupported=reason)
    block = file.stored.block(info.offset, _nbytes(info, kind))
    if kind.dtype is not None:
        size = math.prod(shape)
        storage = StorageRef(key=name, dtype=kind.dtype, block_size=size, start=0, size=size)
        ref = TensorRef(kind.dtype, shape, contiguous_strides(shape), 0, storage)
        tensor = stored_tensor(name, ref, block)
        return tensor if stated is None else replace(tensor, kind=stated)
    why = why_not(kind)
    if why is not None:
        return StoredTensor(name, shape, "float32", name, None, unsupported=why, kind=stated)
    quantized = QuantizedTensor(name, shape, kind, block)
    noise = None if 0 in shape else quantized.noise_or_none
    return StoredTensor(
        name,
        shape,
        "float32",
        name,
        quantized.values,
        kind=stated,
        noise=noise,
        remote=remote(block),
    )


def _shape(info: TensorInfo, values: Mapping[str, Value]) -> tuple[int, ...]:
    """The shape of the header, or the one that a quantized convolution had before it was folded."""
    known = values.get(_COMFY_SHAPE + info.name)
    if isinstance(known, tuple) and all(type(n) is int and n > 0 for n in known):
        shape = tuple(int(n) for n in known)
        if len(shape) <= 8 and math.prod(shape) == math.prod(info.shape):
            return shape
    return info.shape
