"""Locks: files that one process at a time holds, and that are free as soon as it has ended."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from allennlp_analyze.errors import OutputError
from allennlp_analyze.storage.files import output_error

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"


class LockTaken(Exception):
    """Another process holds the lock, or another part of this one."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock whose file is `path`: made where it is missing, removed in the end.

    Yields False where the file system knows no locks, and nothing is held. Never waits: raises
    `LockTaken`, or `OSError` when the file cannot be made.
    """
    while True:
        # While it is open, no other file is given its number (its inode).
        with path.open("ab") as file:
            lock = _acquired(path)
            identity = os.fstat(file.fileno())
            is_current = _is_file(path, identity)
        if lock is None or is_current:
            break
        lock.release()  # the one who held it before had removed the file: try with the new one
    try:
        yield lock is not None
    finally:
        # Removed while it is held: whoever opened it before finds that it is no longer there.
        # (Windows removes no open file; there filelock does so, once it has released it.)
        with contextlib.suppress(OSError):
            if _is_file(path, identity):
                path.unlink()
        if lock is not None:
            lock.release()


@contextlib.contextmanager
def only_run(directory: Path, process: Callable[[], Optional[int]]) -> Iterator[None]:
    """Keep every other run out of `directory`, which must exist, until the end.

    `process` finds out the number of the process that is at work there, None where that is not
    known. Raises `OutputError` with it.
    """
    path = directory / LOCK
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except LockTaken:
            number = process()
            who = "another run" if number is None else f"another run (process {number})"
            raise OutputError(
                f"{directory}: {who} is writing there; wait for it, or choose another --output-dir"
            ) from None
        except OSError as error:
            raise output_error(path, error) from None
        yield


def _acquired(path: Path) -> Optional["BaseFileLock"]:
    """The lock, held; None where the file system knows no locks. Raises `LockTaken`."""
    from filelock import Timeout

    try:
        return _native(path)
    except Timeout:
        if _has_locks(path.parent):
            raise LockTaken from None
        return None


def _has_locks(directory: Path) -> bool:
    """Whether a lock that nobody else can hold is to be had in `directory`.

    Older releases of filelock say of whatever fails that the lock is taken.
    """
    from filelock import Timeout

    try:
        with tempfile.TemporaryDirectory(prefix=LOCK, dir=directory) as place:
            lock = _native(Path(place) / LOCK)
            if lock is not None:
                lock.release()
            return lock is not None
    except Timeout:
        return False
    except OSError:  # somebody is removing the directory, or closed it to us
        return True


def _native(path: Path) -> Optional["BaseFileLock"]:
    """The lock, held by the operating system; None where it cannot. Raises filelock's `Timeout`."""
    from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

    lock: BaseFileLock = FileLock(str(path), timeout=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lock.acquire()
    except Timeout:
        raise
    except OSError:
        return None
    if isinstance(lock, SoftFileLock):  # its file would block for ever after a kill
        lock.release()
        return None
    return lock


def _is_file(path: Path, identity: os.stat_result) -> bool:
    """Whether `path` still names the file of that `identity`."""
    try:
        return os.path.samestat(identity, path.stat())
    except OSError:
        return False
