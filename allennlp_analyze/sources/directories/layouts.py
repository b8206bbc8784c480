"""Reads the indexes of directories: a pipeline, modules, a hub cache; and finds models below."""

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.archive import MAX_TEXT_BYTES
from allennlp_analyze.sources.directories.contents import list_weights
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.text.lines import excerpt

PIPELINE, MODULES = "model_index.json", "modules.json"
MAX_PARTS = 1000
# How far, and in how many directories, models below one without weights are looked for.
_MAX_DEPTH, _MAX_DIRECTORIES = 6, 2000

_REPOSITORY = re.compile(r"(models|datasets|spaces)--.+")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Part:
    """A part of a model: its directory, and what its tensors' names get in front."""

    name: str
    path: Path
    prefix: str


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a key that sorts numbers in names by their value: checkpoint-400 before -1200."""
    return tuple(
        (0, int(piece), piece) if piece.isdecimal() and len(piece) < 1000 else (1, 0, piece)
        for piece in _DIGITS.split(name)
        if piece
    )


def is_plain(name: object) -> bool:
    """Whether `name` can only be a directory below: no step up, no absolute path."""
    if not isinstance(name, str) or not 0 < len(name) <= 500 or not name.isprintable():
        return False
    pieces = name.split("/")
    return not set(name) & set("\\:") and all(x.strip(". ") for x in pieces)


def pipeline_parts(directory: Path) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Returns the models of a pipeline of diffusers, and warnings about parts that are missing.

    The parts are in the order of model_index.json; those without weights (a scheduler, a
    tokenizer) are none. Raises `SourceError` if the index is damaged.
    """
    parts, missing = [], []
    for name in listed_parts(directory / PIPELINE):
        if not (directory / name).is_dir():
            missing.append(name)
        elif _has_weights(directory / name):
            parts.append(Part(name, directory / name, f"{name}."))
    lines = (f"{PIPELINE} lists {', '.join(missing)}, but there is no such directory",)
    return tuple(parts), lines if missing else ()


def listed_parts(path: Path) -> list[str]:
    """Returns the parts that a model_index.json lists. Raises `SourceError` if it is damaged."""
    index = _json(path)
    if not isinstance(index, Mapping):
        raise SourceError(f"{PIPELINE} is not the index of a pipeline")
    names = []
    for name, value in itertools.islice(index.items(), MAX_PARTS):
        if name.startswith("_") or not isinstance(value, list) or not all(value[:2]):
            continue
        if not is_plain(name):
            raise SourceError(f"{PIPELINE} lists {excerpt(name)!r}, which is not a directory below")
        names.append(name)
    return names


def module_parts(directory: Path) -> tuple[Part, ...]:
    """Returns the modules of a sentence-transformers model that have weights, in its order.

    The module at the top has no prefix. Raises `SourceError` if the index is damaged.
    """
    parts = []
    for name in listed_modules(directory / MODULES):
        path = directory / name
        if path.is_dir() and _has_weights(path):
            parts.append(Part(name, path, f"{name}." if name else ""))
    return tuple(parts)


def listed_modules(path: Path) -> list[str]:
    """Returns the directories that a modules.json lists, "" for the top.

    Raises `SourceError` if it is damaged.
    """
    index = _json(path)
    if not isinstance(index, list):
        raise SourceError(f"{MODULES} is not a list of modules")
    names = []
    for module in index[:MAX_PARTS]:
        name = module.get("path") if isinstance(module, Mapping) else None
        if name != "" and not is_plain(name):
            raise SourceError(f"{MODULES} lists {excerpt(name)!r}, which is not a directory below")
        names.append(str(name))
    return names


def part_names(directory: Path) -> tuple[str, ...]:
    """Returns the directories of the modules below the top, () without an index.

    Raises `SourceError` if the index is damaged.
    """
    if not (directory / MODULES).is_file():
        return ()
    return tuple(part.name for part in module_parts(directory) if part.name)


def is_repository(directory: Path) -> bool:
    """Whether a directory is one repository of the Hub's cache."""
    named = _REPOSITORY.fullmatch(directory.resolve().name) is not None
    return named and (directory / "snapshots").is_dir()


def snapshot(repository: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the snapshot of `refs/main`, or else the newest one, and a warning in that case.

    Raises `SourceError` if there is none.
    """
    try:
        snapshots = [x for x in (repository / "snapshots").iterdir() if x.is_dir()]
    except OSError as error:
        raise SourceError(f"cannot be read ({error.filename}: {error.strerror})") from None
    if not snapshots:
        raise SourceError(
            "is a repository of the Hub's cache without a snapshot; download it again"
        )
    try:
        with open_regular(repository / "refs" / "main") as file:
            main = file.read(200).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    by_name = {x.name: x for x in snapshots}
    if main in by_name:
        return by_name[main], ()
    newest = max(snapshots, key=lambda x: (x.stat().st_mtime_ns, x.name))
    if len(snapshots) == 1:
        return newest, ()
    return newest, (
        f"has {len(snapshots)} snapshots and no refs/main; {newest.name}, the newest, is read",
    )


def models_below(directory: Path) -> list[str]:
    """Returns the directories or files below that hold weights, as relative paths, in order.

    These are the parts that a user can choose. Where a directory has several weights files of
    different models, each file is one.
    """
    found: list[str] = []
    pending = [(directory, 0)]
    for _ in range(_MAX_DIRECTORIES):
        if not pending:
            break
        here, depth = pending.pop()
        if is_repository(here) and here != directory:
            found.append(here.relative_to(directory).as_posix())
            continue
        if here != directory:
            found += [x.relative_to(directory).as_posix() for x in _models_in(here)]
        if depth < _MAX_DEPTH:
            pending += [(x, depth + 1) for x in _directories(here)]
    return sorted(found, key=natural)


def _models_in(here: Path) -> Iterator[Path]:
    from allennlp_analyze.sources.directories.choosing import choose

    try:
        listing = list_weights(here)
    except SourceError:
        return
    if not listing.weights and not listing.indexes:
        return
    try:
        choose(listing, None, here)
        yield here
    except SourceError:
        yield from (here / name for name in listing.weights)


def _directories(here: Path) -> list[Path]:
    try:
        with os.scandir(here) as entries:
            return [
                here / entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []


def _has_weights(path: Path) -> bool:
    listing = list_weights(path)
    return bool(listing.weights or listing.indexes or listing.unread)


def _json(path: Path) -> object:
    try:
        with open_regular(path) as file:
            text = file.read(MAX_TEXT_BYTES + 1)
        if len(text) > MAX_TEXT_BYTES:
            raise SourceError(f"{path.name} has more than {MAX_TEXT_BYTES} bytes")
        return json.loads(text)
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise SourceError(f"{path.name} is not a JSON file") from None
