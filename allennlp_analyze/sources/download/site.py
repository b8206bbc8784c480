"""Opens the files of a model by URL: by their parts where the server allows it, or downloaded."""

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Optional
from urllib.parse import quote, urlsplit, urlunsplit

from allennlp_analyze.errors import Advice, SourceError
from allennlp_analyze.results.files import FileState
from allennlp_analyze.sources.directories.layouts import is_plain
from allennlp_analyze.sources.download.cache import copy_of, fetch, latest_copy, url_of
from allennlp_analyze.sources.formats.gguf.splits import parts_of
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS, RANGED, by_content, by_ending
from allennlp_analyze.sources.formats.sharded import is_index, places_of
from allennlp_analyze.sources.stored_file import LocalFile, Place, StoredFile
from allennlp_analyze.storage.states import state_of
from allennlp_analyze.text.links import url_path
from allennlp_analyze.text.redaction import redacted_url

if TYPE_CHECKING:
    from allennlp_analyze.sources.download.fetching import Fetching
    from allennlp_analyze.sources.download.remote_file import RangedFile


class Site:
    """The files of one model by URL.

    A file that is read by its parts has a stand-in below `directory`, so that it can be found as
    one on disk. Without `by_range` every file is downloaded to the cache; without `downloads` no
    weights are. `timeout` is the number of seconds without data after which a request fails.
    """

    def __init__(
        self, directory: Path, quiet: bool, timeout: float, by_range: bool, downloads: bool = True
    ) -> None:
        self.directory = directory / "site"
        self._quiet = quiet
        self._timeout = timeout
        self._by_range = by_range
        self._downloads = downloads
        self._ranged: dict[Path, RangedFile] = {}
        self._links: dict[Path, Path] = {}
        # A directory below `directory`, and the one in a cache for which it stands.
        self._stands_for: Optional[tuple[Path, Path]] = None
        self._fetching: Optional[Fetching] = None

    def fetch(self, archive: str) -> Path:
        """Returns the path of `archive`, a path or URL, or of its stand-in.

        With an index or a part of a split file come the other files. Raises as `cache.fetch`.
        """
        url = url_of(archive)
        name = PurePosixPath(url_path(archive)).name if url else ""
        if url is None or not is_plain(name):
            return fetch(archive, self._quiet, self._timeout)
        # Another URL may end in the same name.
        path = self.directory / str(len(self._ranged) + len(self._links)) / name
        if is_index(name):
            self.link(fetch(archive, self._quiet, self._timeout), path)
            for shard in dict.fromkeys(places_of(path, redacted_url(archive)).values()):
                self._add(_beside(archive, shard), path.with_name(shard))
            return path
        for part in parts_of(path):
            self._add(_beside(archive, part.name), part)
        if path in self._ranged or path in self._links or self._open_named(archive, url, path):
            return path
        self.check(name, archive)
        return fetch(archive, self._quiet, self._timeout)

    def check(self, name: str, archive: str) -> None:
        """Raise `SourceError` if the file would be downloaded, and must not be."""
        if not self._downloads and name.lower().endswith(MODEL_ENDINGS):
            raise SourceError(
                f"{redacted_url(archive)}: its header alone cannot be read",
                Advice("cache", "use {} to download it", switch=True),
            )

    def open(self, url: str, path: Path, headers: Optional[Mapping[str, str]] = None) -> bool:
        """Open the file at an http(s) URL by its parts; `path` becomes its stand-in.

        Returns False if it must be downloaded: the server sends no parts, or the cache has this
        version. Raises `SourceError`, without the URL, if the server cannot be asked.
        """
        if not self._may_open(url):
            return False
        # Importing this takes as long as reading a medium-sized archive.
        from allennlp_analyze.sources.download.failures import DownloadError
        from allennlp_analyze.sources.download.ranges import Ranges
        from allennlp_analyze.sources.download.remote_file import FIRST_BYTES, RangedFile

        ranges = Ranges(url, self._timeout, headers)
        try:
            begin = ranges.open(FIRST_BYTES)
        except DownloadError as error:
            if error.unavailable and latest_copy(url) is None:
                raise
            return False  # a download says what is wrong, or finds the copy
        if begin is None or by_content(begin) is not by_ending(url) or copy_of(url, ranges.version):
            ranges.close()
            return False
        self._ranged[path] = RangedFile(
            ranges, begin, path, self._shared(), lambda name: self.at(path.with_name(name))
        )
        return True

    def _may_open(self, url: str) -> bool:
        """Whether files of this ending are read by their parts, so that asking is worth it."""
        return self._by_range and by_ending(url) in RANGED

    def link(self, target: Path, path: Path) -> Path:
        """Put a local file beside the stand-ins."""
        self._links[path] = target
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.symlink_to(target.absolute())
            except (OSError, NotImplementedError):
                shutil.copyfile(target, path)
        except OSError as error:
            raise SourceError(f"{path.parent}: cannot be written ({error.strerror})") from None
        return path

    def stand_for(self, directory: Path, real: Path) -> None:
        """Say which directory of a cache `directory`, with stand-ins and links, stands for."""
        self._stands_for = directory, real

    @property
    def stand_ins(self) -> Mapping[Path, StoredFile]:
        """The files that are read by their parts."""
        return self._ranged

    def at(self, path: Path) -> Optional[StoredFile]:
        """Returns the file at a path: a stand-in is opened by URL; None if there is none."""
        if path in self._ranged:
            return self._ranged[path]
        return LocalFile(path) if path.is_file() else None

    def place(self, path: Path) -> Place:
        """Returns what a reader should open for a path."""
        return self._ranged.get(path, path)

    def label(self, path: Path) -> str:
        """Returns how reports and messages name a path: a URL for a stand-in."""
        return self._ranged[path].address if path in self._ranged else str(self._real(path))

    def state(self, path: Path, is_download: bool) -> FileState:
        """Returns the state of the file at a path, before it is read."""
        if path in self._ranged:
            return self._ranged[path].state
        return state_of(self._real(path), is_download or path in self._links)

    def close(self) -> None:
        """Close the connections."""
        if self._fetching is not None:
            self._fetching.close()
        for file in self._ranged.values():
            file.close()

    def _real(self, path: Path) -> Path:
        if path in self._links:
            return self._links[path]
        if self._stands_for is not None and path.is_relative_to(self._stands_for[0]):
            return self._stands_for[1] / path.relative_to(self._stands_for[0])
        return path

    def _shared(self) -> "Fetching":
        from allennlp_analyze.sources.download.fetching import Fetching
        from allennlp_analyze.sources.download.remote_file import pieces_of

        if self._fetching is None:
            self._fetching = Fetching(pieces_of)
        return self._fetching

    def _open_named(self, archive: str, url: str, path: Path) -> bool:
        """As `open`, also for a file on the Hub; errors begin with the URL."""
        from allennlp_analyze.sources.download.hub_file import file_of

        try:
            found = file_of(url, self._timeout) if self._may_open(url) else None
            if found is None:
                return url.startswith("http") and self.open(url, path)
            return not found.is_cached and self.open(found.url, path, found.headers)
        except SourceError as error:
            raise SourceError(f"{redacted_url(archive)}: {error.text}") from None

    def _add(self, archive: str, path: Path) -> None:
        """Open a file by its parts, or download it and put it beside the stand-ins."""
        if not self._open_named(archive, url_of(archive) or archive, path):
            self.check(path.name, archive)
            self.link(fetch(archive, self._quiet, self._timeout), path)


def _beside(url: str, name: str) -> str:
    """Returns the URL of the file `name` in the directory of `url`, with the same parameters."""
    if url.partition("://")[0].lower() == "hf":
        return f"{url.rpartition('/')[0]}/{name}"
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit(parts._replace(path=f"{folder}/{quote(name)}"))
