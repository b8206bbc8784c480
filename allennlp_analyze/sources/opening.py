"""Opens any ARCHIVE of the command line as a `Source` inside a context."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import Advice, CheckpointError, SourceError, UsageError
from allennlp_analyze.options.choices import checked, default
from allennlp_analyze.results.files import FileState
from allennlp_analyze.sources.archive import (
    CONFIG,
    MAX_TEXT_BYTES,
    Contents,
    is_gzip,
    parse_config,
    read_archive,
)
from allennlp_analyze.sources.damaged import DamagedError
from allennlp_analyze.sources.directory import ARCHIVE, read_directory
from allennlp_analyze.sources.download.cache import evict, fetch, is_url
from allennlp_analyze.sources.formats.gguf.splits import first_part, parts_of
from allennlp_analyze.sources.formats.registry import DISTRIBUTED_METADATA, read_weights
from allennlp_analyze.sources.formats.registry import head as first_bytes
from allennlp_analyze.sources.formats.sharded import (
    INDEX_ENDING,
    PREFERRED_INDEXES,
    are_shards,
    is_index,
    read_sharded,
)
from allennlp_analyze.sources.quantized.joining import dequantized
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import Weights
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.storage.states import state_of
from allennlp_analyze.storage.workspace import workspace
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.links import url_path
from allennlp_analyze.text.redaction import redacted_url

ADAPTER_CONFIG = "adapter_config.json"

_LISTED = 20
PREFERRED_WEIGHTS = ("weights.th", "best.th", "model.safetensors", "pytorch_model.bin")


@contextmanager
def open_source(
    archive: str,
    weights_file: Optional[str] = None,
    quiet: bool = True,
    max_unpacked_size: int = default("max_unpacked_size"),
    timeout: float = default("timeout"),
    sha256: Optional[str] = None,
    key: Optional[str] = None,
) -> Iterator[Source]:
    """Open `archive`, a URL, archive, directory or file: tensors, configuration and vocabulary.

    `weights_file` is a path or URL, or the name of a weights file inside `archive`. `timeout` is
    the number of seconds without data after which an HTTP download fails. `sha256` is the expected
    digest of the file `archive`; it is checked before anything in the file is read. `key` picks one
    state dict of a weights file that has several. Temporary files are removed on exit.

    Raises `UsageError` if `archive` does not exist or `sha256` is not a valid digest, and
    `SourceError` if the archive cannot be read; a damaged download is also removed from the cache.
    """
    sha256 = checked("sha256", sha256)
    path = fetch(archive, quiet, timeout)
    if sha256 is not None:
        _check_sha256(path, archive, sha256)
    with workspace() as directory:
        opening = _Opening(archive, directory, weights_file, quiet, max_unpacked_size, timeout, key)
        try:
            source = dequantized(opening.open(path))
            _check_unpacked(source, max_unpacked_size)
        except SourceError as error:
            opening.evict_damaged(path, error)
            raise
        yield source


class _Opening:
    """The arguments of one call of `open_source`."""

    def __init__(
        self,
        archive: str,
        directory: Path,
        weights_file: Optional[str],
        quiet: bool,
        max_unpacked_size: int,
        timeout: float,
        key: Optional[str],
    ) -> None:
        self._key = key
        # Only the redacted URL may stand in a message or a report.
        self._archive = redacted_url(archive)
        self._is_url = is_url(archive)
        self._name = url_path(archive) if self._is_url else archive
        self._directory = directory
        self._weights_file = weights_file
        self._outside = _outside_weights(weights_file, quiet, timeout)
        self._max_unpacked_size = max_unpacked_size
        self._files: dict[Path, FileState] = {}
        self._fetched: Optional[Path] = None
        self._is_url_outside = weights_file is not None and is_url(weights_file)

    def _reads(self, *paths: Path) -> None:
        """Record the state of local files before they are read."""
        for path in paths:
            fetched = path == self._fetched or (path == self._outside and self._is_url_outside)
            self._files.setdefault(path, state_of(path, is_download=fetched))

    def evict_damaged(self, path: Path, error: SourceError) -> None:
        """Remove `path` from the cache if `error` says that the download is damaged."""
        if isinstance(error, CheckpointError) and self._outside is not None:
            if self._is_url_outside:
                evict(self._outside)
        elif isinstance(error, (DamagedError, CheckpointError)) and self._is_url:
            evict(path)

    def open(self, path: Path) -> Source:
        self._fetched = path if self._is_url else None
        if path.is_dir():
            return self._open_directory(path)
        if not path.is_file():
            raise SourceError(f"{self._archive}: is not a regular file")
        head = first_bytes(path, self._archive)
        if is_gzip(head) or _should_be_archive(self._name, head):
            return self._open_archive(path)
        return self._open_weights(path)

    def _open_weights(self, path: Path) -> Source:
        if self._weights_file is not None:
            raise SourceError(
                f"{self._archive}: is already a weights file",
                Advice("weights_file", "remove {}"),
            )
        if is_index(self._name) and self._is_url:
            raise SourceError(
                f"{self._archive}: is an index of several files; download all of them and pass"
                " their directory"
            )
        is_alone = self._is_url  # a download has nothing beside it
        if not is_alone:
            self._reads(path.with_name(CONFIG), path.with_name(ADAPTER_CONFIG))
        weights = self._read(path, self._archive)
        return Source(
            archive=self._archive,
            resolved=str(path),
            sha256=_sha256(path),
            weights_file=str(path),
            tensors=weights.tensors,
            config={**weights.config, **({} if is_alone else _settings(path.with_name(CONFIG)))},
            adapter_config={} if is_alone else _settings(path.with_name(ADAPTER_CONFIG)),
            warnings=tuple(f"{self._archive}: {line}" for line in weights.warnings),
            files=tuple(self._files.values()),
            left_out=weights.left_out,
            key=self._key,
        )

    def _open_archive(self, path: Path) -> Source:
        self._reads(path)
        wanted = self._weights_file or PREFERRED_WEIGHTS[0]
        contents = self._unpack(path, None if self._outside else wanted)
        if self._outside is None and contents.weights is None:
            wanted = self._choose(contents.weights_members)
            contents = self._unpack(path, wanted)
        label = f"{self._archive}: {wanted}"
        weights = self._outside or contents.weights
        if weights is None:
            raise SourceError(f"{label}: not found in the archive")
        if self._outside is not None:
            wanted = label = str(self._outside)
        return self._source(path, contents, wanted, self._read(weights, label))

    def _unpack(self, path: Path, member: Optional[str]) -> Contents:
        try:
            return read_archive(path, self._directory, member, self._max_unpacked_size)
        except SourceError as error:
            raise type(error)(f"{self._archive}: {error.text}", *error.advice) from None

    def _open_directory(self, path: Path) -> Source:
        vocabulary = path / "vocabulary"
        self._reads(path / CONFIG, path / ADAPTER_CONFIG, vocabulary, *vocabulary.glob("*.txt"))
        contents = self._listed(path)
        if self._outside is not None:
            weights = self._outside
        elif self._weights_file is None and (path / DISTRIBUTED_METADATA).is_file():
            weights = path / DISTRIBUTED_METADATA
        elif not contents.weights_members and (path / ARCHIVE).is_file():
            return self._open_archive(path / ARCHIVE)
        else:
            weights = path / self._choose_in_directory(path, contents.weights_members)
        return self._source(path, contents, str(weights), self._read(weights, str(weights)))

    def _choose_in_directory(self, path: Path, members: tuple[str, ...]) -> str:
        """Choose as `_choose` does, or choose the index of sharded weights."""
        indexes = sorted(file.name for file in path.glob(f"*{INDEX_ENDING}") if file.is_file())
        if self._weights_file in indexes:
            return self._weights_file or ""
        unsharded = [name for name in PREFERRED_WEIGHTS if name in members]
        if self._weights_file is not None or unsharded:
            return self._choose(members)
        preferred = [name for name in PREFERRED_INDEXES if name in indexes]
        if preferred or len(indexes) == 1:
            return (preferred or indexes)[0]
        if first_part(members):
            return first_part(members)
        if len(members) > 1 and are_shards(members):
            raise SourceError(
                f"{self._archive}: contains {len(members)} shards ({excerpt(members[0])}, ...)"
                f" but no index (a file whose name ends in {INDEX_ENDING})"
            )
        return self._choose(members)

    def _listed(self, path: Path) -> Contents:
        try:
            return read_directory(path)
        except SourceError as error:
            raise SourceError(f"{self._archive}: {error.text}", *error.advice) from None

    def _choose(self, members: tuple[str, ...]) -> str:
        """Choose the weights file to read from those in the archive or directory."""
        listed = _listing(members)
        if self._weights_file is not None:
            if self._weights_file in members:
                return self._weights_file
            raise SourceError(
                f"{self._archive}: no weights file {redacted_url(self._weights_file)!r}"
                f" on disk or inside; the archive contains: {listed}"
            )
        preferred = [name for name in PREFERRED_WEIGHTS if name in members]
        if preferred or len(members) == 1:
            return (preferred or members)[0]
        if not members:
            raise SourceError(f"{self._archive}: contains no weights file (weights.th)")
        raise SourceError(
            f"{self._archive}: contains several weights files ({listed})",
            Advice("weights_file", "choose one with {}"),
        )

    def _source(
        self, path: Path, contents: Contents, weights_file: str, weights: Weights
    ) -> Source:
        config, warnings = parse_config(contents.config)
        warnings = (*contents.warnings, *warnings, *weights.warnings)
        return Source(
            archive=self._archive,
            resolved=str(path),
            sha256=contents.sha256,
            weights_file=weights_file,
            tensors=weights.tensors,
            config={**weights.config, **config},
            vocabulary=contents.vocabulary,
            non_padded=contents.non_padded,
            warnings=tuple(f"{self._archive}: {w}" for w in warnings),
            adapter_config=_settings(path / ADAPTER_CONFIG) if path.is_dir() else {},
            files=tuple(self._files.values()),
            left_out=weights.left_out,
            key=self._key,
        )

    def _read(self, path: Path, label: str) -> Weights:
        """Returns the contents of a weights file, or of all files that an index lists."""
        if not path.is_relative_to(self._directory):  # not a member of an archive
            self._reads(path, *parts_of(path))
        if is_index(label):
            if self._key is not None:
                raise SourceError(
                    f"{label}: is an index of one set of tensors, so no key picks among several",
                    Advice("key", "remove {}"),
                )
            return read_sharded(path, label, self._reads)
        weights = read_weights(path, label, self._key)
        for state in weights.files:
            self._files.setdefault(Path(state.path), state)
        return weights


def _listing(members: tuple[str, ...]) -> str:
    """Returns the names for a message: the first ones, and how many there are beside them."""
    names = ", ".join(excerpt(name) for name in members[:_LISTED])
    more = len(members) - _LISTED
    return (f"{names} and {more} more" if more > 0 else names) or "none"


def _check_unpacked(source: Source, limit: int) -> None:
    """Raise `SourceError` if compressed and repeated values have more than `limit` bytes."""
    total = sum(tensor.unpacked for tensor in source.tensors.values())
    if total > limit:
        largest = max(source.tensors.values(), key=lambda tensor: tensor.unpacked)
        raise SourceError(
            f"{source.archive}: its tensors unpack to {total} bytes, more than {limit};"
            f" the largest is {excerpt(largest.name)}",
            Advice("max_unpacked_size", "use {} to raise the limit"),
        )


def _settings(path: Path) -> Mapping[str, object]:
    """Returns the contents of a JSON file beside weights, {} if it is missing or unreadable."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_TEXT_BYTES:
            return {}
        return parse_config(path.read_bytes())[0]
    except OSError:
        return {}


def _outside_weights(weights_file: Optional[str], quiet: bool, timeout: float) -> Optional[Path]:
    """Returns the weights file as a path on disk, or None if it is a member or not given."""
    if weights_file is None:
        return None
    if is_url(weights_file):
        return fetch(weights_file, quiet, timeout)
    path = os.path.expanduser(weights_file)
    return Path(path) if os.path.isfile(path) else None


def _should_be_archive(archive: str, head: bytes) -> bool:
    """Whether a file that is not gzip has the name of an archive: it is damaged, not weights."""
    return archive.endswith((".tar.gz", ".tgz", ".gz")) and not head.startswith(b"PK")


def _check_sha256(path: Path, archive: str, expected: str) -> None:
    """Raise `DamagedError` if the digest of `path` differs; a download is then evicted."""
    named = redacted_url(archive)
    if path.is_dir():
        raise UsageError(f"{named}: is a directory, which has no SHA-256 digest")
    if not path.is_file():
        raise SourceError(f"{named}: is not a regular file")
    try:
        found = _sha256(path)
    except OSError as error:
        raise SourceError(f"{named}: cannot be read ({error.strerror})") from None
    if found != expected:
        if is_url(archive):
            evict(path)
        raise DamagedError(f"{named}: has the SHA-256 digest {found}; expected {expected}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        for chunk in iter(lambda: file.read(2**20), b""):
            digest.update(chunk)
    return digest.hexdigest()
