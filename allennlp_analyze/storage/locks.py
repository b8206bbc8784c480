"""File locks: one process at a time holds a lock, and its end releases it."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from allennlp_analyze.errors import Advice, OutputError
from allennlp_analyze.storage.files import open_own, output_error

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"


class LockTaken(Exception):
    """Another process holds the lock, or another part of this one."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock on the file `path`, which is created if missing and removed at the end.

    Yields False, without a lock, if the file system does not support locks. Never waits: raises
    `LockTaken`, or `OSError` if the file cannot be created.
    """
    while True:
        # While the file is open, no other file gets its inode number.
        with open_own(path) as file:
            lock = _acquired(path)
            identity = os.fstat(file.fileno())
            is_current = _is_file(path, identity)
        if is_current:
            break
        if lock is not None:
            lock.release()
        # The previous holder has removed the file: try again with a new one, unless it has removed
        # the directory too, as a sweep of abandoned directories does.
        if not path.parent.is_dir():
            raise LockTaken
        # Where there are no locks, filelock may have removed the file again.
        if lock is None:
            break
    try:
        yield lock is not None
    finally:
        # Remove the file while the lock is held: another process that has opened it finds that it
        # is gone. (Windows does not remove open files; there filelock removes it after the
        # release.)
        with contextlib.suppress(OSError):
            if _is_file(path, identity):
                path.unlink()
        if lock is not None:
            lock.release()


@contextlib.contextmanager
def only_run(directory: Path, process: Callable[[], Optional[int]]) -> Iterator[None]:
    """Lock `directory`, which must exist, against other runs until the end.

    `process` returns the number of the process that works there, or None if unknown. Raises
    `OutputError` with that number if the directory is locked.
    """
    path = directory / LOCK
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except LockTaken:
            number = process()
            who = "another run" if number is None else f"another run (process {number})"
            raise OutputError(
                f"{directory}: {who} is writing there",
                Advice("directory", "wait, or choose another {}"),
            ) from None
        except OSError as error:
            raise output_error(path, error) from None
        yield


def _acquired(path: Path) -> Optional["BaseFileLock"]:
    """Acquire the lock; returns None if the file system has no locks. Raises `LockTaken`."""
    from filelock import Timeout

    try:
        return _native(path)
    except Timeout:
        if _has_locks(path.parent):
            raise LockTaken from None
        return None


def _has_locks(directory: Path) -> bool:
    """Whether a lock that nobody else can hold can be acquired in `directory`.

    Older releases of filelock report every failure as a lock that is taken.
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
    except OSError:  # another process is removing the directory, or it is not accessible
        return True


def _native(path: Path) -> Optional["BaseFileLock"]:
    """Acquire a lock of the operating system; None if there are none. Raises `Timeout`."""
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
    if isinstance(lock, SoftFileLock):  # its file would block forever after a kill
        lock.release()
        return None
    return lock


def _is_file(path: Path, identity: os.stat_result) -> bool:
    """Whether `path` is still the file with this `identity`."""
    try:
        return os.path.samestat(identity, path.stat())
    except OSError:
        return False
