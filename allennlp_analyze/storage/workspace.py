"""Creates the temporary directory of a run, and removes those of killed runs."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import OutputError
from allennlp_analyze.storage.locks import LOCK, LockTaken, locked

PREFIX = "allennlp-analyze-"
# A directory without a lock belongs to a process that has just started, or died while starting.
_BEGINNING_SECONDS = 3600.0


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """Create a directory and remove it on exit; the next run removes that of a killed process."""
    sweep()
    with contextlib.ExitStack() as stack:
        directory: Optional[Path] = None
        while directory is None:
            with contextlib.suppress(LockTaken):  # another process is sweeping it
                directory = stack.enter_context(_locked_directory())
        yield directory


@contextlib.contextmanager
def _locked_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with locked(directory / LOCK):
            yield directory
    finally:
        # Once the lock is released, a run that sweeps may lock the directory: then it removes it.
        shutil.rmtree(directory, ignore_errors=True)


def sweep() -> None:
    """Remove the directories of processes that have ended. Never fails."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError, LockTaken, OutputError):
                if _is_ours(path):
                    _remove_abandoned(path)


def _is_ours(path: Path) -> bool:
    if not path.is_dir() or path.is_symlink():
        return False
    # Windows has a temporary directory for each user.
    return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()


def _remove_abandoned(path: Path) -> None:
    """Remove a directory unless a process uses it. Raises `LockTaken`, `OSError`."""
    if not (path / LOCK).exists():
        if time.time() - path.stat().st_mtime > _BEGINNING_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
        return
    with locked(path / LOCK) as sure:
        if sure:
            shutil.rmtree(path, ignore_errors=True)
    if sure:  # Windows keeps the lock's file until then
        path.rmdir()
