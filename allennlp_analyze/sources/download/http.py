"""Downloads one file over HTTP: retries, resumes, and checks the length."""

from dataclasses import replace
from io import FileIO
from pathlib import PurePosixPath
from typing import IO, Optional

import requests

from allennlp_analyze.sources.download import failures
from allennlp_analyze.sources.download.connection import Connection
from allennlp_analyze.sources.download.failures import DownloadError, Retries
from allennlp_analyze.sources.download.version import Part, Version
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.links import url_path
from allennlp_analyze.text.progress import Progress, progress_bar
from allennlp_analyze.text.redaction import redacted_url

# After this much new data, failures are counted from zero again.
PROGRESS_BYTES = 2**20

_NO_HEAD = (403, 405, 501)  # 403: a URL may be signed for GET only


class ChangedError(DownloadError):
    """The file changed after the server was asked about it; ask again."""


class HttpClient:
    """Asks about the file at `url` and downloads it, with the environment's proxies and .netrc.

    `timeout` limits the connection and every wait for data, in seconds. `quiet` hides the progress
    bar.
    """

    def __init__(self, url: str, timeout: float, quiet: bool = True) -> None:
        self._url = url
        self._quiet = quiet
        self._asked: list[Version] = []
        self._connection = Connection(url, timeout)

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def version(self) -> Version:
        """The version that `ask` received last."""
        return self._asked[-1]

    def ask(self) -> Version:
        """Ask the server for the current version. Raises `DownloadError`."""
        retries = Retries()
        while True:
            try:
                self._asked.append(self._head())
                return self.version
            except DownloadError as error:
                retries.failed(error)

    def download(self, file: IO[bytes]) -> None:
        """Download into `file`, which must be empty and have a descriptor.

        Raises `DownloadError` if the download is incomplete, `ChangedError` if the file is not the
        version that `ask` received, and `OSError` if `file` cannot be written.
        """
        # Unbuffered: a buffer that cannot be flushed would prevent `file` from being closed.
        bar = progress_bar("B", quiet=self._quiet, title=_title(self._url))
        with FileIO(file.fileno(), "w", closefd=False) as raw, bar as progress:
            arrived, retries = _Arrived(raw, progress), Retries(connected=True)
            while True:
                try:
                    return self._receive(arrived, retries)
                except DownloadError as error:
                    retries.failed(error)

    def _head(self) -> Version:
        with self._connection.send("HEAD") as response:
            if response.status_code not in _NO_HEAD:
                return _found(response)
        with self._connection.send("GET") as response:  # its body is not read
            return _found(response)

    def _receive(self, arrived: "_Arrived", retries: Retries) -> None:
        """Request the missing part once."""
        with self._connection.send("GET", arrived.range_headers()) as response:
            if response.status_code in (206, 416):
                arrived.resume(response)
            else:
                version = _found(response)
                self._check_unchanged(version)
                arrived.start(version)
            for piece in self._connection.pieces(response):
                if arrived.add(piece):
                    retries.reset()
        arrived.check_length()

    def _check_unchanged(self, version: Version) -> None:
        """Raise `ChangedError`, but only once: some servers send a new ETag with every response."""
        if len(self._asked) == 1 and self._asked[0].differs(version):
            raise ChangedError("the file on the server changed during the download")


def _found(response: requests.Response) -> Version:
    if response.status_code != 200:
        raise failures.of_status(response)
    return Version.of(response.headers)


class _Arrived:
    """The bytes received so far, and the version of the file to which they belong."""

    def __init__(self, file: FileIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._version: Optional[Version] = None
        self._size = 0
        self._most = 0

    def range_headers(self) -> dict[str, str]:
        """Returns the headers that request the missing part, or {} to request the whole file."""
        validator = self._version.validator if self._version else None
        if not self._size or validator is None:
            self._version = None
            return {}
        return {"Range": f"bytes={self._size}-", "If-Range": validator}

    def start(self, version: Version) -> None:
        """Start again at the first byte of `version`."""
        self._file.seek(0)
        self._file.truncate()
        self._version = version
        self._size = 0
        self._progress.restart(version.size)

    def resume(self, response: requests.Response) -> None:
        """Check that the response continues the file. Raises `DownloadError` if it does not."""
        # Unless the checks pass, the next request asks for the whole file.
        version, self._version = self._version, None
        if version is None or not self._size:  # no part was requested
            raise failures.of_part(response.status_code, asked=False)
        part = Part.of(response.headers) if response.status_code == 206 else None
        if part is None or not part.continues(version, self._size):
            raise failures.of_part(response.status_code, asked=True)
        self._version = replace(version, size=part.total)

    def add(self, piece: bytes) -> bool:
        """Write `piece`. Returns True after PROGRESS_BYTES more than any earlier attempt."""
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]
        self._size += len(piece)
        self._progress.advance(len(piece))
        if self._size < self._most + PROGRESS_BYTES:
            return False
        self._most = self._size
        return True

    def check_length(self) -> None:
        declared = self._version.size if self._version else None
        if declared is not None and self._size > declared:
            raise DownloadError(failures.TOO_LONG)
        if declared is not None and self._size != declared:
            raise failures.of_truncation(self._size, declared)


def _title(url: str) -> str:
    """Returns the name of the file at `url` for the progress bar."""
    return excerpt(PurePosixPath(url_path(url)).name or redacted_url(url), 40)
