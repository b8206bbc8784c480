"""Values in files beside an ONNX model: regular files within its directory, nothing else."""

import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.results.files import FileState
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.storage.states import state_of
from allennlp_analyze.text.lines import excerpt

MAX_FILES = 10_000
_MAX_PATH = 1_000
_MAX_DIGITS = 19


class ExternalFiles:
    """The external files that one model names. Each is checked before a byte of it is read."""

    def __init__(self, model: Path) -> None:
        self._directory = model.parent
        self._found: dict[str, tuple[Path, FileState]] = {}

    @property
    def states(self) -> tuple[FileState, ...]:
        """The states of the files when they were found."""
        return tuple(state for _, state in self._found.values())

    def block(self, name: str, entries: dict[str, str], nbytes: int) -> "ExternalBlock":
        """Returns the `nbytes` bytes that `entries` point to, for the tensor `name`.

        Raises `CheckpointError` if the file is not a plain one in the model's directory, or the
        bytes are not in it.
        """
        location = entries.get("location", "")
        offset = _number(name, entries.get("offset", ""), "offset", 0)
        length = _number(name, entries.get("length", ""), "length", nbytes)
        if length != nbytes:
            raise CheckpointError(
                f"tensor {excerpt(name)} needs {nbytes} bytes, but its external data has {length}"
            )
        path, state = self._file(name, location)
        size = state.size or 0
        if offset + nbytes > size:
            raise CheckpointError(
                f"tensor {excerpt(name)}: its external data ends at byte {offset + nbytes} of"
                f" {excerpt(location)}, which has {size}"
            )
        return ExternalBlock(path, state, offset, nbytes)

    def _file(self, name: str, location: str) -> tuple[Path, FileState]:
        if location not in self._found:
            if len(self._found) >= MAX_FILES:
                raise CheckpointError(f"names more than {MAX_FILES} external files")
            try:
                path = self._checked(location)
                self._found[location] = path, state_of(path)
            except _RefusedError as refused:
                raise CheckpointError(
                    f"tensor {excerpt(name)}: its external data {excerpt(location)!r} {refused};"
                    " only a regular file in the directory of the model is read"
                ) from None
        return self._found[location]

    def _checked(self, location: str) -> Path:
        parts = location.split("/")
        if not _is_plain(location, parts):
            raise _RefusedError("is not the name of a file in it")
        path = self._directory
        try:
            for part in parts[:-1]:
                path = path / part
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    raise _RefusedError("is behind a link")
            path = path / parts[-1]
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                path = _in_hub_cache(path)
                found = os.lstat(path)
        except OSError as error:
            missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
            raise _RefusedError("is missing" if missing else "cannot be read") from None
        if not stat.S_ISREG(found.st_mode):
            raise _RefusedError("is not a regular file")
        if found.st_nlink > 1:
            raise _RefusedError("has several names (hard links)")
        return path


class _RefusedError(Exception):
    """Why an external file is not read."""


def _is_plain(location: str, parts: list[str]) -> bool:
    return (
        0 < len(location) <= _MAX_PATH
        and location.isprintable()
        and not set(location) & set("\\:")
        and not any(part.strip(". ") == "" for part in parts)
    )


def _in_hub_cache(path: Path) -> Path:
    """Returns the file that a link of a Hugging Face cache leads to.

    There `<model>/snapshots/<revision>/.../name` is a link to a file in `<model>/blobs`.
    """
    for parent in path.absolute().parents:
        if parent.name == "snapshots":
            target = Path(os.path.normpath(path.absolute().parent / os.readlink(path)))
            blobs = parent.parent / "blobs"
            if target.parent == blobs and stat.S_ISDIR(os.lstat(blobs).st_mode):
                return target
    raise _RefusedError("is a link")


def _number(name: str, text: str, what: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise CheckpointError(
            f"tensor {excerpt(name)}: the {what} of its external data is {excerpt(text, 30)!r}"
        )
    return int(text)


@dataclass(frozen=True)
class ExternalBlock:
    """A `Block` of another file, which is mapped when it is read."""

    path: Path
    state: FileState
    offset: int
    nbytes: int

    inflated = 0

    def read(self) -> np.ndarray:
        try:
            with open_regular(self.path) as file:
                now = os.fstat(file.fileno())
                if (now.st_ino, now.st_size) != (self.state.inode, self.state.size):
                    raise CheckpointError(f"{self.path}: has changed since it was found")
                if not now.st_size:
                    return np.empty(0, np.uint8)
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read ({error.strerror})") from None
        return np.frombuffer(mapping, np.uint8, self.nbytes, self.offset)
