"""Reads sharded weights: several files in one directory, listed in an index of transformers."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Callable

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.registry import read_weights
from allennlp_analyze.sources.stored_file import Place
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from allennlp_analyze.sources.views import MAX_TENSORS
from allennlp_analyze.storage.files import open_regular, read_most
from allennlp_analyze.text.lines import excerpt

INDEX_ENDING = ".index.json"
PREFERRED_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MAX_INDEX_BYTES = 64 * 2**20
MAX_SHARDS = 10_000

# An index has three objects, and its metadata perhaps some more.
_MAX_OBJECTS = 10_000
_OBJECT_OR_STRING = re.compile(rb'[\[{]|"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# Both may name a variant: `.fp16` of diffusers.
_SHARD = re.compile(r".+-\d{5}-of-\d{5}(\.[a-z0-9_]+)+")
_INDEX = re.compile(r"\.index(\.[a-z0-9_]+)?\.json\Z")


def is_index(name: str) -> bool:
    return _INDEX.search(name) is not None


def are_shards(names: Iterable[str]) -> bool:
    """Whether all these file names are those of shards."""
    return all(_SHARD.fullmatch(name) for name in names)


def read_sharded(
    index: Path,
    label: str,
    on_file: Callable[[Path], None] = lambda path: None,
    place: Callable[[Path], Place] = lambda path: path,
) -> Weights:
    """Returns the tensors of all files that `index` lists, in its order; values are read on demand.

    `on_file` is called with the path of each file before it is read; `place` returns what to read
    for a path. The files must be in the
    directory of the index and contain exactly the tensors that it lists. Messages use `label` in
    place of the path. Raises `CheckpointError`.
    """
    places = places_of(index, label)
    shards = {}
    for name in dict.fromkeys(places.values()):
        on_file(index.parent / name)
        shards[name] = _shard(index, label, name, place)
    for name, shard in shards.items():
        other = [tensor for tensor in shard.tensors if places.get(tensor) != name]
        if other:
            raise CheckpointError(
                f"{label}: {name} contains {excerpt(other[0])}, which the index does not list"
            )
    tensors = {name: _found(label, shards, name, file) for name, file in places.items()}
    return Weights(
        tensors,
        {key: value for shard in shards.values() for key, value in shard.config.items()},
        tuple(dict.fromkeys(line for shard in shards.values() for line in shard.warnings)),
        left_out=tuple(left_out for shard in shards.values() for left_out in shard.left_out),
    )


def places_of(index: Path, label: str) -> dict[str, str]:
    """Returns the name of the file that contains each tensor. Raises `CheckpointError`."""
    try:
        with open_regular(index) as file:
            text = read_most(file, MAX_INDEX_BYTES)
        if len(text) > MAX_INDEX_BYTES:
            raise CheckpointError(f"{label}: has more than {MAX_INDEX_BYTES >> 20} MiB")
        _check_objects(text, label)
        contents = json.loads(text)
    except OSError as error:
        raise CheckpointError(f"{label}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError, MemoryError):
        raise CheckpointError(f"{label}: is not a JSON file; expected an index of shards") from None
    places = contents.get("weight_map") if isinstance(contents, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{label}: is not an index of sharded weights: no weight_map")
    if len(places) > MAX_TENSORS:
        raise CheckpointError(f"{label}: lists more than {MAX_TENSORS} tensors")
    for file in places.values():
        if not isinstance(file, str) or not _is_plain(file):
            raise CheckpointError(
                f"{label}: lists {excerpt(file)!r}, which is not a file in the same directory"
            )
    if len(set(places.values())) > MAX_SHARDS:
        raise CheckpointError(f"{label}: lists more than {MAX_SHARDS} files")
    return places


def _check_objects(text: bytes, label: str) -> None:
    """Refuse many small lists, which take twenty times the memory of their text."""
    if text.count(b"[") + text.count(b"{") <= _MAX_OBJECTS:
        return
    found = (match for match in _OBJECT_OR_STRING.finditer(text) if match.group() in b"[{")
    if next(itertools.islice(found, _MAX_OBJECTS, None), None) is not None:
        raise CheckpointError(f"{label}: is not an index of sharded weights: it has lists of lists")


def _is_plain(name: str) -> bool:
    """Whether `name` can only be a file in the same directory."""
    return (
        len(name) <= 255
        and name.isprintable()
        and not set(name) & set("/\\:")
        and name.strip(". ") != ""
    )


def _shard(index: Path, label: str, name: str, place: Callable[[Path], Place]) -> Weights:
    path = index.parent / name
    if not path.is_file():
        raise CheckpointError(f"{label}: the shard {name} is missing")
    found = place(path)
    return read_weights(found, str(path) if isinstance(found, Path) else found.address)


def _found(label: str, shards: Mapping[str, Weights], name: str, file: str) -> StoredTensor:
    tensor = shards[file].tensors.get(name)
    if tensor is None:
        raise CheckpointError(f"{label}: {file} does not contain {excerpt(name)}")
    # Storage keys are unique only within one file.
    return replace(tensor, storage=(file, tensor.storage))
