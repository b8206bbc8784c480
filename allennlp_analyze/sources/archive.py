"""Reads a model archive (.tar.gz) in one pass; keeps only the members that the analysis needs."""

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import SourceError
from allennlp_analyze.options.choices import default
from allennlp_analyze.sources.damaged import DamagedError
from allennlp_analyze.sources.formats import foreign
from allennlp_analyze.sources.formats.registry import WEIGHTS_ENDINGS
from allennlp_analyze.sources.streams.gzip import GzipStream
from allennlp_analyze.sources.streams.tar import TarStream
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.text.lines import excerpt

MAX_TEXT_BYTES = 16 * 2**20
MAX_NAMESPACES = 10_000
MAX_WEIGHTS_FILES = 10_000
MAX_NAME = 4096
CONFIG = "config.json"
NON_PADDED = "vocabulary/non_padded_namespaces.txt"

_NAMESPACE = re.compile(r"vocabulary/([^/]+)\.txt")
_HERE = re.compile(r"(?:\./)*")


@dataclass(frozen=True)
class Contents:
    """What was read from an archive or a serialization directory.

    `config` is the text of config.json, or None if it is missing. `weights_members` lists the
    names of all weights files. `weights` is the path to which the requested one was copied, or
    None if the archive does not contain it.
    """

    config: Optional[bytes]
    vocabulary: Mapping[str, int]
    non_padded: tuple[str, ...]
    weights_members: tuple[str, ...]
    weights: Optional[Path]
    sha256: Optional[str]
    warnings: tuple[str, ...] = ()


def read_archive(
    path: Path,
    directory: Path,
    weights_member: Optional[str],
    max_unpacked_size: int = default("max_unpacked_size"),
) -> Contents:
    """Read the configuration, the vocabulary and the member `weights_member` of an archive.

    The weights are copied into `directory` under a fixed name; nothing else is written. The whole
    file is read, so that its checksum is verified. Raises `SourceError` if the archive is damaged
    or breaks a limit.
    """
    try:
        with open_regular(path) as raw:
            _check_gzip(raw.read(512))
            raw.seek(0)
            stream = GzipStream(raw)
            taking = _Taking(TarStream(stream, max_unpacked_size), directory, weights_member)
            taking.take_all()
            stream.drain()
    except OSError as error:
        raise SourceError(f"cannot be unpacked ({error.strerror or error})") from None
    junk = ("ignored trailing data after the end of the archive",) if stream.trailing_junk else ()
    return taking.contents(stream.sha256, junk)


def is_gzip(head: bytes) -> bool:
    return head.startswith(b"\x1f\x8b")


def parse_config(text: Optional[bytes]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Parse config.json as JSON, never as Jsonnet, which can read other files.

    Returns the configuration ({} if there is none) and warnings.
    """
    if text is None:
        return {}, (f"{CONFIG} is missing, so the model type is unknown",)
    try:
        config = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return {}, (f"{CONFIG} is not plain JSON and is ignored ({excerpt(error)})",)
    if not isinstance(config, dict):
        return {}, (f"{CONFIG} is not a JSON object and is ignored",)
    return config, ()


def count_lines(chunks: Iterator[bytes]) -> int:
    """Count lines as `Vocabulary.set_from_file` does: a final newline ends the last line."""
    lines, last = 0, b"\n"
    for chunk in chunks:
        lines += chunk.count(b"\n")
        last = chunk[-1:] or last
    return lines + (last != b"\n")


def patterns(text: bytes) -> tuple[str, ...]:
    """Returns the namespace patterns of `non_padded_namespaces.txt`."""
    lines = text.decode("utf-8", "replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def namespace(name: str) -> Optional[str]:
    """Returns the namespace of a vocabulary file, or None if `name` is another member."""
    match = _NAMESPACE.fullmatch(name)
    if match is None or name == NON_PADDED or match.group(1).startswith("."):
        return None
    return match.group(1)


def is_weights(name: str) -> bool:
    """Whether `name` is a top-level member with the file name of weights."""
    return "/" not in name and name.endswith(WEIGHTS_ENDINGS) and not name.startswith(".")


def _check_gzip(head: bytes) -> None:
    if not head:
        raise DamagedError("is empty")
    if not is_gzip(head):
        raise DamagedError(foreign.describe(head) or "is not a gzip archive; expected model.tar.gz")


class _Taking:
    """One pass over a tar archive and what it has collected so far."""

    def __init__(self, tar: TarStream, directory: Path, weights_member: Optional[str]) -> None:
        self._tar = tar
        self._weights_path = directory / "weights"
        self._weights_member = weights_member
        self._taken: set[str] = set()
        self._weights_members: list[str] = []
        self._vocabulary: dict[str, int] = {}
        self._texts: dict[str, bytes] = {}

    def take_all(self) -> None:
        for member in self._tar.members():
            name = _plain(member.name)
            if len(name) > MAX_NAME:
                continue  # no file system could hold it, so nobody misses it
            if name == self._weights_member or is_weights(name):
                self._weights_members.append(name)
                if len(self._weights_members) > MAX_WEIGHTS_FILES:
                    raise SourceError(f"contains more than {MAX_WEIGHTS_FILES} weights files")
            if self._wanted(name):
                self._check(name, member)
                self._take(name, member)
        self._tar.drain()

    def contents(self, sha256: str, warnings: tuple[str, ...]) -> Contents:
        return Contents(
            config=self._texts.get(CONFIG),
            vocabulary=self._vocabulary,
            non_padded=patterns(self._texts.get(NON_PADDED, b"")),
            weights_members=tuple(self._weights_members),
            weights=self._weights_path if self._weights_member in self._taken else None,
            sha256=sha256,
            warnings=warnings,
        )

    def _wanted(self, name: str) -> bool:
        return name in (CONFIG, NON_PADDED, self._weights_member) or namespace(name) is not None

    def _check(self, name: str, member: tarfile.TarInfo) -> None:
        if name in self._taken:
            raise SourceError(f"contains the member {excerpt(name)} twice")
        if not member.isreg() or member.issparse():
            raise SourceError(f"member {excerpt(name)} is {_kind(member)}, not a regular file")
        if len(self._vocabulary) >= MAX_NAMESPACES:
            raise SourceError(f"contains more than {MAX_NAMESPACES} vocabulary files")
        self._taken.add(name)

    def _take(self, name: str, member: tarfile.TarInfo) -> None:
        content = self._tar.content(member)
        if name == self._weights_member:
            with self._weights_path.open("xb") as file:
                file.writelines(content)
        elif name in (CONFIG, NON_PADDED):
            if member.size > MAX_TEXT_BYTES:
                raise SourceError(
                    f"member {name} has {member.size} bytes; the limit is {MAX_TEXT_BYTES}"
                )
            self._texts[name] = b"".join(content)
        else:
            self._vocabulary[namespace(name) or name] = count_lines(content)


def _plain(name: str) -> str:
    """Returns a member's name without leading `./`; other paths stay, and so match nothing."""
    return name[_HERE.match(name).end() :]  # type: ignore[union-attr]  # it matches everything


def _kind(member: tarfile.TarInfo) -> str:
    if member.issparse():
        return "a sparse file"
    if member.issym() or member.islnk():
        return f"a link to {excerpt(member.linkname, 60)}"
    return "a directory" if member.isdir() else "a device or pipe"
