"""Writes files atomically: a file is complete or does not exist."""

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Callable, Union

from allennlp_analyze.errors import Advice, OutputError

TEMPORARY_SUFFIX = ".allennlp-analyze.tmp"
CHOOSE_ANOTHER = Advice("directory", "choose another {}")
PathLike = Union[str, "os.PathLike[str]"]


def open_regular(path: PathLike) -> BinaryIO:
    """Opens a file for reading that is neither a pipe, a socket, a device nor a directory.

    A pipe without a writer would block for ever. Raises `OSError`.
    """
    _check_regular(os.stat(path).st_mode)  # opening a device may have effects
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_regular(os.fstat(handle).st_mode)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_most(file: BinaryIO, limit: int) -> bytes:
    """Returns the contents of a file, and more than `limit` bytes only if it has more.

    `read(limit)` would allocate so many bytes for a small file, too.
    """
    return file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is not a regular file")


def write_atomically(path: PathLike, write: Callable[[BinaryIO], None]) -> None:
    """Call `write` with a new binary file that replaces `path` once it is complete.

    After any error (including an interrupt), an existing `path` is unchanged and no new file is
    left. Raises `OutputError` for an `OSError`; other exceptions of `write` pass through.
    """
    target = Path(path)
    temporary = target.with_name(f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        try:
            # tempfile is not used, because its files are private; a report must follow the umask.
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
    except OSError as error:
        raise output_error(target, error) from error


def write_text(path: PathLike, text: str) -> None:
    """Write `text` in UTF-8, as `write_atomically` does. Raises `OutputError`."""

    def write(file: BinaryIO) -> None:
        file.write(text.encode("utf-8"))

    write_atomically(path, write)


def make_directory(path: PathLike) -> Path:
    """Create the directory `path` and its missing parents. Raises `OutputError`."""
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(directory, error) from error
    return directory


def open_own(path: Path) -> BinaryIO:
    """Open the file `path` for reading and appending; it is created if missing.

    Raises `OutputError` for a link, which could lead anywhere, and for a file of another user,
    whose contents could be anything; `OSError` if it cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        raise OutputError(f"{path}: is a link, which is not followed; remove it", CHOOSE_ANOTHER)
    number = os.open(path, flags, 0o666)
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise OutputError(f"{path}: is not a regular file; remove it", CHOOSE_ANOTHER)
        if hasattr(os, "geteuid") and status.st_uid not in (os.geteuid(), 0):
            raise OutputError(f"{path}: belongs to another user; remove it", CHOOSE_ANOTHER)
        return os.fdopen(number, "a+b")
    except BaseException:
        os.close(number)
        raise


def check_directory(path: PathLike, files: Iterable[str] = (), folders: Iterable[str] = ()) -> None:
    """Check that files can be written to the directory `path`, which may not exist yet.

    None of the names `files` may be a directory there, and each of `folders` that exists must be
    one. Nothing is created. Raises `OutputError` if files cannot be written.
    """
    _check_writable(path)
    for name in files:
        place = Path(path) / name
        if place.is_dir() and not place.is_symlink():  # a link would be replaced
            raise OutputError(f"{place}: is a directory, not a file", CHOOSE_ANOTHER)
    for name in folders:
        place = Path(path) / name
        if place.exists() and not place.is_dir():
            raise OutputError(f"{place}: is a file, not a directory", CHOOSE_ANOTHER)


def _check_writable(path: PathLike) -> None:
    nearest = Path(path).absolute()
    try:
        while not nearest.exists():
            nearest = nearest.parent
    except OSError as error:  # a name that is too long
        raise output_error(Path(path), error) from None
    if not nearest.is_dir():
        raise OutputError(f"{path}: {nearest} is not a directory", CHOOSE_ANOTHER)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: {nearest} is not writable", CHOOSE_ANOTHER)


def _remove(path: Path) -> None:
    # The error that led here is the one to report.
    with suppress(OSError):
        path.unlink()


def output_error(path: Path, error: OSError) -> OutputError:
    """Returns the error that says that `path` cannot be written, and why."""
    reason = error.strerror or str(error) or type(error).__name__
    return OutputError(f"{path}: cannot be written ({reason})", CHOOSE_ANOTHER)
