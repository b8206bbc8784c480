"""Notices whether files have changed since they were read."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Optional

from allennlp_analyze.results.files import FileState


def state_of(path: Path, is_download: bool = False) -> FileState:
    """Returns the state of the file or directory `path`, which need not exist."""
    absolute = os.path.abspath(path)
    try:
        status = os.stat(absolute)
    except (OSError, ValueError):
        return FileState(absolute, is_download=is_download)
    return FileState(
        absolute,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        is_download,
    )


def first_change(states: Iterable[FileState]) -> Optional[str]:
    """Returns the path of the first file that is no longer as it was, or None.

    What was read from a server has been compared with its version at each reading.
    """
    return next((then.path for then, now in _local(states) if now != then), None)


def first_write(states: Iterable[FileState]) -> Optional[str]:
    """Like `first_change`, but a new link to a file or other permissions do not count."""
    return next(
        (then.path for then, now in _local(states) if replace(now, ctime_ns=then.ctime_ns) != then),
        None,
    )


def _local(states: Iterable[FileState]) -> Iterator[tuple[FileState, FileState]]:
    """Yields each state of a file on disk, and the one now."""
    for then in states:
        if then.version is None:
            yield then, state_of(Path(then.path), then.is_download)
