"""Says what of a directory is opened: itself or a part, as one model or as several joined."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from allennlp_analyze.errors import Advice, CheckpointError, SourceError
from allennlp_analyze.sources.archive import CONFIG, Contents
from allennlp_analyze.sources.directories.choosing import choose
from allennlp_analyze.sources.directories.contents import ARCHIVE, list_weights, read_directory
from allennlp_analyze.sources.directories.foreign import ABOVE_ZERO, recognized_directory
from allennlp_analyze.sources.directories.layouts import (
    MODULES,
    PIPELINE,
    Part,
    is_plain,
    is_repository,
    models_below,
    module_parts,
    pipeline_parts,
    snapshot,
)
from allennlp_analyze.sources.tensor import LeftOut, Weights
from allennlp_analyze.sources.views import MAX_TENSORS
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.lists import enumerated

_MAX_NAMED = 8
_REFS = ("refs/main", "snapshots")


@dataclass(frozen=True)
class Opened:
    """What a directory stands for: the model at `path`, a file or a directory.

    `part` is its path below the directory that was named, "" for the directory itself. `read` are
    the files and directories that decided.
    """

    path: Path
    part: str = ""
    warnings: tuple[str, ...] = ()
    read: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Model:
    """The parts of one model, and the contents of its directory apart from the weights."""

    parts: tuple[Part, ...]
    contents: Contents
    warnings: tuple[str, ...] = ()
    read: tuple[Path, ...] = ()


def open_directory(directory: Path, part: Optional[str]) -> Opened:
    """Find the model that `directory` stands for: a snapshot, the `part` that the user chose.

    A directory without weights stands for the only model below it. Raises `SourceError`, without
    the name of the directory, if there is none or a choice.
    """
    found = _snapshot(Opened(directory))
    if part is not None:
        return _snapshot(_chosen_part(found, part))
    if _is_model(found.path):
        return found
    names = models_below(found.path)
    if len(names) != 1:
        _refuse(found.path, names)
    told = (f"holds no weights itself; {names[0]} below it is read",)
    alone = replace(found, path=found.path / names[0], part=names[0])
    return _snapshot(replace(alone, warnings=(*found.warnings, *told)))


def _snapshot(found: Opened) -> Opened:
    if not is_repository(found.path):
        return found
    path, warnings = snapshot(found.path)
    read = tuple(found.path / name for name in _REFS)
    return replace(
        found, path=path, warnings=(*found.warnings, *warnings), read=(*found.read, *read)
    )


def _chosen_part(found: Opened, part: str) -> Opened:
    cached = f"models--{part.replace('/', '--')}"
    for name in (part.rstrip("/"), cached):
        if is_plain(name) and (found.path / name).exists():
            return replace(found, path=found.path / name, part=name)
    names = _names(found.path)
    listed = enumerated(names, _MAX_NAMED) or "none"
    raise SourceError(f"contains no model {excerpt(part)!r}; it contains: {listed}")


def _names(directory: Path) -> Sequence[str]:
    """Returns the parts of a pipeline or a model in modules, or else the models below."""
    if (directory / PIPELINE).is_file():
        return [part.name for part in pipeline_parts(directory)[0]]
    if (directory / MODULES).is_file():
        return [part.name for part in module_parts(directory) if part.name]
    return models_below(directory)


def _is_model(directory: Path) -> bool:
    """Whether a directory itself is a model, or should be: it has an index, or a configuration."""
    if any((directory / name).is_file() for name in (PIPELINE, MODULES, ARCHIVE)):
        return True
    listing = list_weights(directory)
    return bool(listing.weights or listing.indexes)


def _refuse(directory: Path, names: Sequence[str]) -> None:
    """Raise `SourceError` for a directory without weights and without a single model below."""
    inside = [entry.name for entry in os.scandir(directory)]
    strange = recognized_directory(inside)
    if strange is not None:
        raise SourceError(strange.described)
    if not names and ABOVE_ZERO.recognizes(inside):
        raise SourceError(ABOVE_ZERO.described)
    if not names:
        choose(list_weights(directory), None)
    raise SourceError(
        f"contains no weights itself, but {len(names)} models below"
        f" ({enumerated(names, _MAX_NAMED)})",
        Advice("part", "choose one with {}, or analyze them all as a zoo"),
    )


def model_at(directory: Path, single: bool) -> Model:
    """Returns the parts of the model in `directory`; only the directory itself if `single`.

    Raises `SourceError`, without the name of the directory.
    """
    index = next((x for x in (PIPELINE, MODULES) if (directory / x).is_file()), None)
    own = (Part("", directory, ""),)
    if single or index is None:
        return Model(own, read_directory(directory))
    read: tuple[Path, ...] = (directory / index,)
    if index == MODULES:
        parts = module_parts(directory) or own
        contents = read_directory(directory)
        first = parts[0].path
        if contents.config is None and first != directory:
            contents = read_directory(first)
            read = (*read, first / CONFIG)
        lower = [part.name for part in parts if part.name]
        told = (f"{', '.join(lower)} of {MODULES} belong to the model and are read, too",)
        return Model(_alone(parts), contents, told if len(parts) > 1 else (), read)
    parts, warnings = pipeline_parts(directory)
    if not parts:
        raise SourceError(f"is a pipeline, but no model that {PIPELINE} lists has weights")
    if len(parts) == 1:
        return Model(_alone(parts), read_directory(parts[0].path), warnings, read)
    told = (
        f"is a pipeline of {len(parts)} models ({', '.join(part.name for part in parts)}), read"
        " together; a zoo of the directory has each on its own",
    )
    contents = replace(read_directory(directory), config=b"{}")
    return Model(parts, contents, (*told, *warnings), read)


def _alone(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return parts if len(parts) > 1 else (replace(parts[0], prefix=""),)


def read_parts(
    parts: Sequence[Part], wanted: Optional[str], read: Callable[[Path], Weights]
) -> tuple[Path, Weights]:
    """Choose and read the weights of each part; returns their place and all tensors by full name.

    Raises `SourceError`.
    """
    tensors, warnings, config = {}, list[str](), {}
    left_out = list[LeftOut]()
    place = parts[0].path
    for part in parts:
        label = f"{part.name}: " if part.name else ""
        try:
            name, told = choose(list_weights(part.path), wanted, part.path)
        except SourceError as error:
            raise SourceError(f"{label}{error.text}", *error.advice) from None
        place = part.path / name
        weights = read(place)
        if not part.prefix:
            config = dict(weights.config)
        left_out += [replace(x, name=part.prefix + x.name) for x in weights.left_out]
        warnings += [f"{label}{line}" for line in (*told, *weights.warnings)]
        for tensor in weights.tensors.values():
            full = part.prefix + tensor.name
            stored = (part.prefix, tensor.storage) if part.prefix else tensor.storage
            tensors[full] = replace(tensor, name=full, storage=stored)
        if len(tensors) > MAX_TENSORS:
            raise CheckpointError(f"{label}contains more than {MAX_TENSORS} tensors")
    above = Path(os.path.commonpath([part.path for part in parts]))
    return above if len(parts) > 1 else place, Weights(
        tensors, config, tuple(warnings), left_out=tuple(left_out)
    )
