"""Reads a distributed checkpoint: its model's tensors, put together from their chunks on demand."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS
from allennlp_analyze.sources.dtypes import ITEM_SIZE, AsType, stored_dtype, why_unsupported
from allennlp_analyze.sources.formats.checkpoint_keys import (
    MODEL_KEYS,
    OF_OPTIMIZER,
    is_copy,
    is_optimizer_key,
)
from allennlp_analyze.sources.formats.distributed.chunk import read_chunk
from allennlp_analyze.sources.formats.distributed.metadata import Entry, entries_of
from allennlp_analyze.sources.formats.distributed.plain_pickle import MAX_BYTES, read_plain
from allennlp_analyze.sources.formats.external import ExternalBlock, ExternalFiles
from allennlp_analyze.sources.formats.guarded import reading
from allennlp_analyze.sources.tensor import LeftOut, StoredTensor, Weights
from allennlp_analyze.storage.files import open_regular, read_most
from allennlp_analyze.storage.mapped import IN_MEMORY_BYTES, mapped_copy
from allennlp_analyze.text.lines import excerpt

_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error)


def read_distributed(path: Path, label: Optional[str] = None) -> Weights:
    """Returns the tensors of the checkpoint whose `.metadata` is `path`; values are read on demand.

    Tensors that are not the model's (an optimizer's state) are left out, with the reason. Messages
    use `label` in place of the path. Raises `CheckpointError`, and nothing else.
    """
    label = label or str(path)
    with reading(label, *_DAMAGE):
        with open_regular(path) as file:
            data = read_most(file, MAX_BYTES)
        if len(data) > MAX_BYTES:
            raise CheckpointError(f"has more than {MAX_BYTES >> 20} MiB")
        entries, _ = entries_of(read_plain(data))
        files = ExternalFiles(path)
        model = _model_key(entries)
        left_out = [_left_out(entry, model) for entry in entries]
        tensors = [
            _tensor(entry, model, files) for entry, left in zip(entries, left_out) if left is None
        ]
    named = {tensor.name: tensor for tensor in tensors}
    if len(named) < len(tensors):
        raise CheckpointError(f"{label}: is damaged: several tensors have one name")
    left = tuple(one for one in left_out if one is not None)
    return Weights(named, files=files.states, left_out=left)


def _model_key(entries: list[Entry]) -> Optional[str]:
    """The key that holds the model in a training checkpoint, None if all are the model's."""
    keys = {entry.path[0] for entry in entries if len(entry.path) > 1}
    return next((key for key in MODEL_KEYS if key in keys and not is_copy(key)), None)


def _left_out(entry: Entry, model: Optional[str]) -> Optional[LeftOut]:
    """The reason for skipping a tensor that is not the model's, None for the others."""
    first = entry.path[0] if entry.path else entry.name
    if model is not None and first == model and len(entry.path) > 1:
        return None
    # A module of a model may be called `opt`, if the names of its tensors are not divided.
    key = first if len(entry.path) > 1 else first.partition(".")[0]
    if is_optimizer_key(key) and (key == first or key != "opt"):
        return LeftOut(entry.name, entry.shape, OF_OPTIMIZER)
    if model is None:
        return None
    return LeftOut(entry.name, entry.shape, f"beside the model, under {excerpt(first, 40)}")


def _tensor(entry: Entry, model: Optional[str], files: ExternalFiles) -> StoredTensor:
    name = entry.name if model is None else ".".join(entry.path[1:])
    reason = entry.unsupported or why_unsupported(entry.dtype)
    identity = ("distributed", entry.name)
    if reason is not None:
        return StoredTensor(name, entry.shape, entry.dtype, identity, None, unsupported=reason)
    parts = [
        _Part(chunk.offsets, chunk.sizes, _block(entry.name, chunk.place, files))
        for chunk in entry.chunks
        if chunk.place is not None
    ]
    whole = len(parts) == 1 and parts[0].sizes == entry.shape
    return StoredTensor(
        name,
        entry.shape,
        entry.dtype,
        identity,
        partial(_load, entry.name, entry.shape, entry.dtype, parts),
        decode=AsType(entry.dtype),
        unpacked=0 if whole else math.prod(entry.shape) * ITEM_SIZE[entry.dtype],
    )


@dataclass(frozen=True)
class _Part:
    """A chunk and the bytes that it was saved as."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    block: ExternalBlock


def _block(name: str, place: tuple[str, int, int], files: ExternalFiles) -> ExternalBlock:
    location, offset, length = place
    return files.block(name, {"location": location, "offset": str(offset)}, length)


def _load(name: str, shape: tuple[int, ...], dtype: str, parts: list[_Part]) -> np.ndarray:
    """Returns the values as they are stored. Raises `CheckpointError` if a chunk is damaged."""
    if 0 in shape:
        return np.empty(shape, stored_dtype(dtype))
    try:
        chunks = [read_chunk(part.block.read(), part.sizes, dtype) for part in parts]
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, *_DAMAGE) as error:
        raise CheckpointError(f"{name}: a chunk is damaged ({excerpt(error)})") from None
    if len(parts) == 1 and parts[0].sizes == shape:
        return chunks[0]
    bands = _bands(shape, dtype, parts, chunks)
    if math.prod(shape) * ITEM_SIZE[dtype] <= IN_MEMORY_BYTES:
        return np.concatenate([band.reshape(-1) for band in bands]).reshape(shape)
    try:
        pieces = (band.reshape(-1).view(np.uint8).data for band in bands)
        return mapped_copy(pieces).view(stored_dtype(dtype)).reshape(shape)
    except OSError as error:
        raise CheckpointError(f"{name}: cannot be put together ({error.strerror})") from None


def _bands(
    shape: tuple[int, ...], dtype: str, parts: list[_Part], chunks: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yields blocks of rows of the whole tensor, each filled from the chunks that it meets."""
    step = max(1, BLOCK_ELEMENTS // math.prod(shape[1:]))
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        band = np.empty((stop - start, *shape[1:]), stored_dtype(dtype))
        for part, chunk in zip(parts, chunks):
            first, end = part.offsets[0], part.offsets[0] + part.sizes[0]
            low, high = max(first, start), min(end, stop)
            if low < high:
                rest = [slice(at, at + n) for at, n in zip(part.offsets[1:], part.sizes[1:])]
                place = (slice(low - start, high - start), *rest)
                band[place] = chunk[low - first : high - first]
        yield band
