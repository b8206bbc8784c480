"""Finds the models below a directory, or those that a glob matches."""

import contextlib
import fnmatch
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from allennlp_analyze.errors import UsageError
from allennlp_analyze.sources.archive import CONFIG, is_weights
from allennlp_analyze.sources.directory import ARCHIVE
from allennlp_analyze.sources.formats.gguf.splits import is_later_part
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS
from allennlp_analyze.sources.formats.sharded import are_shards, is_index
from allennlp_analyze.sources.opening import PREFERRED_WEIGHTS

_MAGIC = re.compile(r"[*?[]")
_ANY_DEPTH = "**"


def is_glob(text: str) -> bool:
    return _MAGIC.search(text) is not None


def is_model_directory(names: Collection[str]) -> bool:
    """Whether a directory with files of these names is one model for `open_source`.

    This is a serialization directory, a directory of the Hub with configuration and weights, or one
    with sharded weights, even without their index, because its shards are not models.
    """
    if CONFIG in names and not {*PREFERRED_WEIGHTS, ARCHIVE}.isdisjoint(names):
        return True
    weights = [name for name in names if is_weights(name)]
    shards = [name for name in weights if are_shards([name])]
    return bool(shards) and (len(shards) == len(weights) or any(map(is_index, names)))


def is_model_file(name: str) -> bool:
    """Whether a file has the name of an archive or a weights file."""
    return name.lower().endswith(MODEL_ENDINGS) and not name.startswith(".")


def models_below(root: Path) -> tuple[Path, ...]:
    """Returns every model below the directory `root`, or `root` itself, sorted.

    Hidden files and directories are skipped, and so are files inside the directory of a model. A
    directory with several links counts once, under its own path if that is below `root`. Raises
    `UsageError` if a directory cannot be read.
    """
    found: list[Path] = []
    for directory, files, directories in _walk(root):
        if is_model_directory([path.name for path in files]):
            found.append(directory)
            directories.clear()
        else:
            names = {path.name for path in files}
            models = (path for path in files if is_model_file(path.name))
            found.extend(path for path in models if not is_later_part(path.name, names))
    return tuple(sorted(found, key=_order))


def models_matching(pattern: str) -> tuple[Path, tuple[Path, ...]]:
    """Returns the directory above the first wildcard of `pattern`, and the models that it matches.

    `**` matches any number of directories; circular links are not followed. Raises `UsageError`.
    """
    parts = Path(os.path.expanduser(pattern)).parts
    first = next(number for number, part in enumerate(parts) if is_glob(part))
    base = Path(*parts[:first])
    found: dict[Path, None] = {}
    for match in _matches(base, parts[first:]):
        if match.is_dir():
            found.update(dict.fromkeys(models_below(match)))
        elif is_model_file(match.name) and match.is_file():
            found[match] = None
    directories = {path for path in found if path.is_dir()}
    outside = [path for path in found if directories.isdisjoint(path.parents)]
    return base, tuple(sorted(outside, key=_order))


def _matches(base: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH and rest[:1] == (_ANY_DEPTH,):
        yield from _matches(base, rest)
    elif part == _ANY_DEPTH:
        for directory, _, _ in _walk(base) if base.is_dir() else ():
            yield from _matches(directory, rest)
    elif not is_glob(part):
        if os.path.exists(base / part):
            yield from _matches(base / part, rest)
    elif base.is_dir():
        wanted = re.compile(fnmatch.translate(part))
        files, directories = _listed(base)
        for path in (*directories, *(() if rest else files)):
            if wanted.match(path.name):
                yield from _matches(path, rest)


def _walk(root: Path) -> Iterator[tuple[Path, list[Path], list[Path]]]:
    """Yields `root` and every directory below it once, with its files and its directories.

    Directories that the caller removes from the last list are skipped. Links come last, because
    their targets may still appear under their own path.
    """
    seen: set[tuple[int, int]] = set()
    pending, links = [root], list[Path]()
    while pending or links:
        directory = pending.pop() if pending else links.pop(0)
        if _is_new(directory, seen):
            files, directories = _listed(directory)
            yield directory, files, directories
            links.extend(path for path in directories if path.is_symlink())
            pending.extend(path for path in directories if not path.is_symlink())


def _is_new(directory: Path, seen: set[tuple[int, int]]) -> bool:
    """Add `directory` to `seen`. Returns False if it was there already, under any path."""
    try:
        status = directory.stat()
    except OSError as error:
        raise UsageError(f"{directory}: cannot be read ({error.strerror or error})") from None
    key = (status.st_dev, status.st_ino)
    new = key not in seen
    seen.add(key)
    return new


def _listed(directory: Path) -> tuple[list[Path], list[Path]]:
    """Returns the visible files and directories; broken links are skipped."""
    files, directories = [], []
    try:
        with os.scandir(directory) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"{directory}: cannot be read ({error.strerror or error})") from None
    for entry in sorted(visible, key=lambda entry: entry.name):
        with contextlib.suppress(OSError):  # a link to itself
            if entry.is_dir():
                directories.append(directory / entry.name)
            elif entry.is_file():
                files.append(directory / entry.name)
    return files, directories


def _order(path: Path) -> tuple[str, ...]:
    return path.parts
