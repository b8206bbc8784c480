"""A file that one process at a time holds, so that no two runs write to the same place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Callable, Optional

from allennlp_analyze.errors import OutputError
from allennlp_analyze.storage.files import output_error


@contextmanager
def held_file(path: Path, process: Callable[[BinaryIO], Optional[int]]) -> Iterator[BinaryIO]:
    """The file `path`, made where missing, open for appending and held until the end.

    `process` reads from it which process holds it, for the error. Raises `OutputError`.
    """
    while True:
        try:
            file = path.open("a+b")
        except OSError as error:
            raise output_error(path, error) from None
        with file:
            _lock(path, file, process)
            if _is_still(path, file):
                yield file
                return


def _lock(path: Path, file: BinaryIO, process: Callable[[BinaryIO], Optional[int]]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one directory are the user's own care
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        number = process(file)
        holder = "another run" if number is None else f"another run (process {number})"
        raise OutputError(
            f"{path.parent}: {holder} is writing there; wait for it, or choose another --output-dir"
        ) from None
    except OSError:  # a file system without locks
        return


def _is_still(path: Path, file: BinaryIO) -> bool:
    """Whether `file` is what `path` names: a run that has ended removes its own."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
