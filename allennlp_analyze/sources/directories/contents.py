"""Reads a directory: the configuration, the vocabulary, and which files in it are weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.archive import (
    CONFIG,
    MAX_TEXT_BYTES,
    NON_PADDED,
    Contents,
    count_lines,
    namespace,
    patterns,
)
from allennlp_analyze.sources.directories.judging import Kind, judge
from allennlp_analyze.sources.formats.registry import DISTRIBUTED_METADATA
from allennlp_analyze.sources.formats.sharded import is_index

ARCHIVE = "model.tar.gz"
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Listing:
    """The files at the top of a directory that matter to a choice of weights, sorted by name.

    `weights` are the model states, `unread` those of formats that are not read, with what they are.
    """

    weights: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a model is there that can be read."""
        return not self.weights and not self.indexes


def list_weights(path: Path) -> Listing:
    """Returns the weights files of the directory `path`. Raises `SourceError`."""
    indexes: list[str] = []
    unread: list[tuple[str, str]] = []
    # The files beside it have no tensors of their own.
    weights = [DISTRIBUTED_METADATA] if (path / DISTRIBUTED_METADATA).is_file() else []
    try:
        files = sorted(x for x in path.iterdir() if x.name[:1] != "." and x.is_file())
    except OSError as error:
        raise SourceError(f"cannot be read ({error.filename}: {error.strerror})") from None
    for file in files:
        if is_index(file.name):
            indexes.append(file.name)
            continue
        found = judge(file)
        if found.kind is Kind.MODEL:
            weights.append(file.name)
        elif found.kind is Kind.UNREAD:
            unread.append((file.name, found.reason))
    return Listing(tuple(weights), tuple(indexes), tuple(unread))


def read_directory(path: Path) -> Contents:
    """Read from a directory what `read_archive` reads from an archive, except its weights.

    Raises `SourceError` if a file of the directory cannot be read.
    """
    try:
        return Contents(
            config=_text(path / CONFIG) if (path / CONFIG).is_file() else None,
            vocabulary=_vocabulary(path / "vocabulary"),
            non_padded=patterns(_text(path / NON_PADDED)) if (path / NON_PADDED).is_file() else (),
            weights_members=(),
            weights=None,
            sha256=None,
        )
    except OSError as error:
        raise SourceError(f"cannot be read ({error.filename}: {error.strerror})") from None


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
