"""The temporary directory of one run, and the removal of those that killed runs have left."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PREFIX = "allennlp-analyze-"
# Held by the process at work. It gets its name when it is held: where it is free, its owner died.
_HELD = ".held"
# A directory without it belongs to a process that has only begun, or died then.
_BEGINNING_SECONDS = 3600.0


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A new directory, removed on leaving. A killed process leaves it to the next one's care."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        directory = Path(name)
        with (directory / "held").open("xb") as held:
            if _hold(held):
                (directory / "held").rename(directory / _HELD)
            yield directory


def sweep() -> None:
    """Remove the directories of processes that no longer live. Never fails."""
    if not hasattr(os, "getuid"):  # Windows, where nothing is held
        return
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                if _is_ours(path) and _is_abandoned(path):
                    shutil.rmtree(path, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    status = path.lstat()
    return path.is_dir() and not path.is_symlink() and status.st_uid == os.getuid()


def _is_abandoned(path: Path) -> bool:
    try:
        with (path / _HELD).open("rb") as held:
            return _hold(held)
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime > _BEGINNING_SECONDS


def _hold(file: BinaryIO) -> bool:
    """Whether `file` is free, and held from now on until it is closed."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
