"""Walks through directories below one, each once, whatever links lead to it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from allennlp_analyze.errors import UsageError


def walk(root: Path) -> Iterator[tuple[Path, list[Path], list[Path]]]:
    """Yields `root` and every directory below it once, with its files and its directories.

    Directories that the caller removes from the last list are skipped. Links come last, because
    their targets may still appear under their own path.
    """
    seen: set[tuple[int, int]] = set()
    pending, links = [root], list[Path]()
    while pending or links:
        directory = pending.pop() if pending else links.pop(0)
        if _is_new(directory, seen):
            files, directories = listed(directory)
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


def listed(directory: Path) -> tuple[list[Path], list[Path]]:
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
