"""Reads a serialization directory: the configuration, the vocabulary and the weights files."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.archive import (
    CONFIG,
    MAX_TEXT_BYTES,
    NON_PADDED,
    Contents,
    count_lines,
    is_weights,
    namespace,
    patterns,
)

ARCHIVE = "model.tar.gz"


def read_directory(path: Path) -> Contents:
    """Read from a directory what `read_archive` reads from an archive.

    The weights are only listed; they need no copy. Raises `SourceError` if a file of the directory
    cannot be read.
    """
    try:
        return Contents(
            config=_text(path / CONFIG) if (path / CONFIG).is_file() else None,
            vocabulary=_vocabulary(path / "vocabulary"),
            non_padded=patterns(_text(path / NON_PADDED)) if (path / NON_PADDED).is_file() else (),
            weights_members=tuple(
                sorted(entry.name for entry in path.iterdir() if _is_weights_file(entry))
            ),
            weights=None,
            sha256=None,
        )
    except OSError as error:
        raise SourceError(f"cannot be read ({error.filename}: {error.strerror})") from None


def _is_weights_file(entry: Path) -> bool:
    return is_weights(entry.name) and entry.is_file()


def _vocabulary(directory: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for file in sorted(directory.glob("*.txt")) if directory.is_dir() else ():
        name = namespace(f"vocabulary/{file.name}")
        if name is not None and file.is_file():
            with file.open("rb") as stream:
                counts[name] = count_lines(_chunks(stream))
    return counts


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while True:
        chunk = stream.read(2**20)
        if not chunk:
            return
        yield chunk


def _text(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise SourceError(f"{path.name} has {size} bytes, too many for what it is")
    return path.read_bytes()
