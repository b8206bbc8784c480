"""Files that appear whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Callable, Union

from allennlp_analyze.errors import OutputError

TEMPORARY_SUFFIX = ".allennlp-analyze.tmp"
PathLike = Union[str, Path]


def write_atomically(path: PathLike, write: Callable[[BinaryIO], None]) -> None:
    """Call `write` with a new binary file that takes the place of `path` once it is complete.

    Whatever goes wrong (an interrupt included), an existing `path` is untouched and nothing new is
    left. Raises `OutputError` for an `OSError`; other exceptions of `write` pass through.
    """
    target = Path(path)
    temporary = target.with_name(f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        try:
            # Not tempfile: its files are private to the user, a report follows the umask.
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
    """Create the directory `path` and its parents where missing. Raises `OutputError`."""
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(directory, error) from error
    return directory


def check_directory(path: PathLike) -> None:
    """Find out, without a trace, that files can be written to the directory `path`, which need not
    be there yet. Raises `OutputError`."""
    nearest = Path(path).absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(f"{path}: {nearest} is not a directory; choose another --output-dir")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: {nearest} cannot be written to; choose another --output-dir")


def _remove(path: Path) -> None:
    # Another error brought us here, and that is the one to report.
    with suppress(OSError):
        path.unlink()


def output_error(path: Path, error: OSError) -> OutputError:
    """The one line that says that `path` cannot be written, and why."""
    reason = error.strerror or str(error) or type(error).__name__
    return OutputError(f"{path}: cannot be written ({reason}); choose another --output-dir")
