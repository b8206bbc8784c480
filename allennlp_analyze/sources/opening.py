"""Opens any ARCHIVE of the command line as a `Source` inside a context."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import Advice, CheckpointError, SourceError
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
from allennlp_analyze.sources.digests import check_sha256, sha256_of
from allennlp_analyze.sources.directories.choosing import PREFERRED_WEIGHTS, choose_member
from allennlp_analyze.sources.directories.contents import ADAPTER_CONFIG, ARCHIVE, list_weights
from allennlp_analyze.sources.directories.opened import model_at, open_directory, read_parts
from allennlp_analyze.sources.directories.remote import Chosen
from allennlp_analyze.sources.download.cache import evict, is_url
from allennlp_analyze.sources.download.hub import Snapshot, address_of, fetch_repository
from allennlp_analyze.sources.download.site import Site
from allennlp_analyze.sources.formats.gguf.splits import parts_of
from allennlp_analyze.sources.formats.registry import head as first_bytes
from allennlp_analyze.sources.formats.registry import read_weights
from allennlp_analyze.sources.formats.sharded import is_index, read_sharded
from allennlp_analyze.sources.quantized.candidates import dequantized
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import Weights
from allennlp_analyze.storage.workspace import workspace
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.links import url_path
from allennlp_analyze.text.redaction import redacted_url


@contextmanager
def open_source(
    archive: str,
    weights_file: Optional[str] = None,
    quiet: bool = True,
    max_unpacked_size: int = default("max_unpacked_size"),
    timeout: float = default("timeout"),
    sha256: Optional[str] = None,
    part: Optional[str] = None,
    key: Optional[str] = None,
    cache: bool = default("cache"),
    header_only: bool = False,
) -> Iterator[Source]:
    """Open `archive`, a URL, archive, directory or file: tensors, configuration and vocabulary.

    `weights_file` is a path or URL, or the name of a weights file inside `archive`. `part` is the
    path of one model below the directory `archive`. `timeout` is the number of seconds without data
    after which an HTTP download fails. `sha256` is the expected digest of the file `archive`; it is
    checked before anything in the file is read. `key` picks one state dict of a weights file that
    has several. Without `cache` and `sha256`, files of the formats in `RANGED` are not downloaded:
    their tensors' bytes are fetched when they are read, which must be before the exit. With
    `header_only` no digest is computed, and without `cache` no weights are downloaded. Temporary
    files are removed on exit.

    Raises `UsageError` if `archive` does not exist or `sha256` is not a valid digest, and
    `SourceError` if the archive cannot be read; a damaged download is also removed from the cache.
    """
    sha256 = checked("sha256", sha256)
    timeout = checked("timeout", timeout)
    with workspace() as directory, contextlib.ExitStack() as stack:
        site = Site(directory, quiet, timeout, not (cache or sha256), cache or not header_only)
        stack.callback(site.close)
        address = address_of(archive)
        if address is None:
            fetched = Snapshot(site.fetch(archive), Chosen(part=part))
        else:
            fetched = fetch_repository(
                archive,
                address,
                part,
                weights_file,
                _is_elsewhere(weights_file),
                quiet,
                timeout,
                site,
            )
        path = fetched.path
        if sha256 is not None:
            check_sha256(path, archive, sha256)
        opening = _Opening(
            archive, directory, site, weights_file, fetched.chosen, max_unpacked_size, key
        )
        opening.takes_digest = not header_only
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
        site: Site,
        weights_file: Optional[str],
        chosen: Chosen,
        max_unpacked_size: int,
        key: Optional[str],
    ) -> None:
        self._key = key
        self.takes_digest = True
        # Only the redacted URL may stand in a message or a report.
        self._archive = redacted_url(archive)
        self._is_url = is_url(archive)
        self._name = url_path(archive) if self._is_url else archive
        self._directory = directory
        self._site = site
        self._weights_file = weights_file or chosen.weights_file
        self._part = chosen.part
        self._chosen = chosen
        self._outside = _outside_weights(weights_file, site)
        self._max_unpacked_size = max_unpacked_size
        self._files: dict[Path, FileState] = {}
        self._fetched: Optional[Path] = None
        self._is_url_outside = weights_file is not None and is_url(weights_file)

    def _reads(self, *paths: Path) -> None:
        """Record the state of local files before they are read."""
        for path in paths:
            fetched = path == self._fetched or (path == self._outside and self._is_url_outside)
            self._files.setdefault(path, self._site.state(path, is_download=fetched))

    def evict_damaged(self, path: Path, error: SourceError) -> None:
        """Remove `path` from the cache if `error` says that the download is damaged."""
        if isinstance(error, CheckpointError) and self._outside is not None:
            if self._is_url_outside:
                evict(self._outside)
        elif isinstance(error, (DamagedError, CheckpointError)) and self._is_url:
            for file in self._chosen.weights or (path,):
                evict(file)

    def open(self, path: Path) -> Source:
        self._fetched = path if self._is_url else None
        if path.is_dir():
            return self._open_directory(path)
        if self._part is not None:
            raise SourceError(
                f"{self._archive}: is not a directory of several models",
                Advice("part", "remove {}"),
            )
        return self._open_file(path)

    def _open_file(self, path: Path) -> Source:
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
        # Beside the download of one file there is nothing.
        is_alone = path == self._fetched
        if not is_alone:
            self._reads(path.with_name(CONFIG), path.with_name(ADAPTER_CONFIG))
        weights, stand_ins = self._read(path, self._archive), self._site.stand_ins
        return Source(
            archive=self._archive,
            resolved=self._site.label(path),
            sha256=sha256_of(path) if self.takes_digest and path not in stand_ins else None,
            weights_file=self._site.label(path),
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
            with self._named():
                wanted, told = choose_member(contents.weights_members, self._weights_file)
            contents = self._unpack(path, wanted)
            contents = replace(contents, warnings=(*contents.warnings, *told))
        label = f"{self._archive}: {wanted}"
        weights = self._outside or contents.weights
        if weights is None:
            raise SourceError(f"{label}: not found in the archive")
        if self._outside is not None:
            wanted = label = self._site.label(self._outside)
        return self._source(path, contents, wanted, self._read(weights, label))

    def _unpack(self, path: Path, member: Optional[str]) -> Contents:
        try:
            return read_archive(path, self._directory, member, self._max_unpacked_size)
        except SourceError as error:
            raise type(error)(f"{self._archive}: {error.text}", *error.advice) from None

    def _open_directory(self, path: Path) -> Source:
        with self._named():
            opened = open_directory(path, self._part)
            self._reads(*opened.read)
        if opened.part:
            self._archive = self._name = f"{self._archive.rstrip('/')}/{opened.part}"
        path = opened.path
        if not path.is_dir():
            return self._open_file(path)
        if not self._outside and (path / ARCHIVE).is_file() and not list_weights(path).weights:
            return self._open_archive(path / ARCHIVE)
        vocabulary = path / "vocabulary"
        self._reads(path / CONFIG, path / ADAPTER_CONFIG, vocabulary, *vocabulary.glob("*.txt"))
        with self._named():
            model = model_at(path, single=self._weights_file is not None)
            self._reads(*model.read)
            if self._outside is None:
                chosen, weights = read_parts(model.parts, self._weights_file, self._read_part)
        if self._outside is not None:
            chosen, weights = self._outside, self._read_part(self._outside)
        warnings = (
            *(*self._chosen.warnings, *model.contents.warnings),
            *(*opened.warnings, *model.warnings),
        )
        contents = replace(model.contents, warnings=warnings)
        return self._source(path, contents, self._site.label(chosen), weights)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put the name of the archive before the text of an error that does not name a file."""
        try:
            yield
        except CheckpointError:
            raise
        except SourceError as error:
            raise SourceError(f"{self._archive}: {error.text}", *error.advice) from None

    def _read_part(self, path: Path) -> Weights:
        return self._read(path, self._site.label(path))

    def _source(
        self, path: Path, contents: Contents, weights_file: str, weights: Weights
    ) -> Source:
        config, warnings = parse_config(contents.config)
        warnings = (*contents.warnings, *warnings, *weights.warnings)
        return Source(
            archive=self._archive,
            resolved=self._site.label(path),
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
        is_member = path.parent == self._directory  # of an archive
        if not is_member:
            self._reads(path, *parts_of(path))
        if is_index(label) or is_index(path.name):
            if self._key is not None:
                raise SourceError(
                    f"{label}: is an index of one set of tensors, so no key picks among several",
                    Advice("key", "remove {}"),
                )
            return read_sharded(path, label, self._reads, self._site.place)
        weights = read_weights(self._site.place(path), label, self._key)
        for state in weights.files:
            self._files.setdefault(Path(state.path), state)
        return weights


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


def _is_elsewhere(weights_file: Optional[str]) -> bool:
    """Whether the weights file is a URL or on disk, not in the archive."""
    return weights_file is not None and (
        is_url(weights_file) or os.path.isfile(os.path.expanduser(weights_file))
    )


def _outside_weights(weights_file: Optional[str], site: Site) -> Optional[Path]:
    """Returns the weights file as a path on disk, or None if it is a member or not given."""
    if weights_file is None or not _is_elsewhere(weights_file):
        return None
    return site.fetch(weights_file)


def _should_be_archive(archive: str, head: bytes) -> bool:
    """Whether a file that is not gzip has the name of an archive: it is damaged, not weights."""
    return archive.endswith((".tar.gz", ".tgz", ".gz")) and not head.startswith(b"PK")
