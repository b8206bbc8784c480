"""What `.metadata` says: the tensors, the chunks that they were saved in, where each chunk is."""

import math
from dataclasses import dataclass
from typing import Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.formats.distributed.plain_pickle import Name, Record, integers
from allennlp_analyze.sources.views import MAX_DIMENSIONS, MAX_TENSORS
from allennlp_analyze.text.lines import excerpt

Shape = tuple[int, ...]
# The largest runs have some thousand processes.
MAX_CHUNKS = 4096
_MAX_PATH = 64


@dataclass(frozen=True)
class Chunk:
    """A box of a tensor, from `offsets` on, and its place: bytes of a file, None if not there."""

    offsets: Shape
    sizes: Shape
    place: Optional[tuple[str, int, int]]


@dataclass(frozen=True)
class Entry:
    """A tensor by its flat name; `path` are its keys in the nested state dict that was saved."""

    name: str
    path: tuple[str, ...]
    shape: Shape
    dtype: str
    chunks: tuple[Chunk, ...]
    unsupported: Optional[str] = None


def entries_of(metadata: object) -> tuple[list[Entry], int]:
    """Returns the tensors in the order of the file, and the number of entries that are none.

    Raises `CheckpointError` if it is not the metadata of a distributed checkpoint.
    """
    if not isinstance(metadata, Record) or not metadata.is_a("Metadata"):
        raise CheckpointError("is not the metadata of a distributed checkpoint")
    described = metadata.get("state_dict_metadata")
    if not isinstance(described, Record) or not described.is_a("dict"):
        raise CheckpointError("is damaged: it lists no tensors")
    if len(described.pairs) > MAX_TENSORS:
        raise CheckpointError(f"contains more than {MAX_TENSORS} tensors")
    places = _places(metadata.get("storage_data"))
    paths = _paths(metadata.get("planner_data"))
    found: dict[str, Entry] = {}
    others = 0
    for name, value in described.pairs:
        if not isinstance(name, str) or not isinstance(value, Record):
            raise CheckpointError("is damaged: a tensor has no name or no description")
        if name in found:
            raise CheckpointError(f"lists {excerpt(name)} twice")
        if value.is_a("TensorStorageMetadata"):
            found[name] = _entry(name, paths.get(name, (name,)), value, places)
        else:
            others += 1
    return list(found.values()), others


def _entry(
    name: str,
    path: tuple[str, ...],
    value: Record,
    places: "dict[tuple[str, Optional[Shape]], tuple[str, int, int]]",
) -> Entry:
    shape = integers(value.get("size"), MAX_DIMENSIONS)
    chunks = value.get("chunks")
    if shape is None or not isinstance(chunks, Record) or not chunks.is_a("list"):
        raise CheckpointError(f"is damaged: {excerpt(name)} has no shape or no chunks")
    dtype = _dtype(value.get("properties"))
    if len(chunks.items) > MAX_CHUNKS:
        reason = f"has {len(chunks.items)} chunks, more than {MAX_CHUNKS}"
        return Entry(name, path, shape, dtype, (), reason)
    boxes = []
    for chunk in chunks.items:
        offsets = (
            integers(chunk.get("offsets"), MAX_DIMENSIONS) if isinstance(chunk, Record) else None
        )
        sizes = integers(chunk.get("sizes"), MAX_DIMENSIONS) if isinstance(chunk, Record) else None
        if offsets is None or sizes is None:
            raise CheckpointError(f"is damaged: a chunk of {excerpt(name)} has no place")
        place = places.get((name, offsets)) or places.get((name, None))
        boxes.append(Chunk(offsets, sizes, place))
    unsupported = None if dtype in ITEM_SIZE else f"{excerpt(dtype, 40)}: not supported"
    if unsupported is None:
        _check_cover(name, shape, boxes)
    return Entry(name, path, shape, dtype, tuple(boxes), unsupported)


def _check_cover(name: str, shape: Shape, boxes: list[Chunk]) -> None:
    """Raise `CheckpointError` unless the chunks fill the tensor without meeting each other."""
    fitting = [
        len(box.offsets) == len(box.sizes) == len(shape)
        and all(at + n <= whole for at, n, whole in zip(box.offsets, box.sizes, shape))
        for box in boxes
    ]
    filled, size = sum(_volume(box) for box in boxes), math.prod(shape)
    if not all(fitting) or filled != size or _overlap(boxes):
        raise CheckpointError(f"is damaged: the chunks of {excerpt(name)} do not make it up")
    missing = [box for box in boxes if box.place is None and _volume(box)]
    if missing:
        raise CheckpointError(f"is damaged: a chunk of {excerpt(name)} is in no file")


def _volume(box: Chunk) -> int:
    return math.prod(box.sizes)


def _overlap(boxes: list[Chunk]) -> bool:
    boxes = [box for box in boxes if _volume(box)]
    if len(boxes) < 2 or not boxes[0].sizes:
        return len(boxes) > 1
    low = np.array([box.offsets for box in boxes])
    high = low + np.array([box.sizes for box in boxes])
    for index in range(1, len(boxes)):
        meeting = (low[:index] < high[index]) & (low[index] < high[:index])
        if bool(meeting.all(axis=1).any()):
            return True
    return False


def _dtype(properties: object) -> str:
    """torch's name of the type: the first part of a state, or an attribute, by version."""
    if isinstance(properties, Record):
        state = properties.state
        found = state[0] if isinstance(state, tuple) and state else properties.get("dtype")
        if isinstance(found, Name) and found.module == "torch":
            return found.name
    return "unknown"


def _places(data: object) -> "dict[tuple[str, Optional[Shape]], tuple[str, int, int]]":
    """File, offset and length by the name of the tensor and the offsets of the chunk."""
    if not isinstance(data, Record) or not data.is_a("dict"):
        raise CheckpointError("is damaged: it does not say where tensors are stored")
    places: dict[tuple[str, Optional[Shape]], tuple[str, int, int]] = {}
    for index, info in data.pairs:
        if not isinstance(index, Record) or not isinstance(info, Record):
            raise CheckpointError("is damaged: a place has no name or no file")
        name, at = index.get("fqn"), index.get("offset")
        path, offset, length = (info.get(key) for key in ("relative_path", "offset", "length"))
        if not isinstance(name, str) or not isinstance(path, str):
            raise CheckpointError("is damaged: a place has no name or no file")
        if type(offset) is not int or type(length) is not int or min(offset, length) < 0:
            raise CheckpointError(f"is damaged: the place of {excerpt(name)} is no place in a file")
        if info.get("transform_descriptors"):
            raise CheckpointError(f"stores {excerpt(name)} compressed, which is not supported")
        key = (name, None if at is None else integers(at, MAX_DIMENSIONS))
        places[key] = (path, offset, length)
    return places


def _paths(data: object) -> dict[str, tuple[str, ...]]:
    """The keys of each tensor in the nested state dict; {} if the file does not say them."""
    paths: dict[str, tuple[str, ...]] = {}
    if isinstance(data, Record) and data.is_a("dict"):
        for name, path in data.pairs:
            if isinstance(name, str) and isinstance(path, tuple) and len(path) <= _MAX_PATH:
                paths[name] = tuple(str(key) for key in path if isinstance(key, (str, int)))
    return paths
