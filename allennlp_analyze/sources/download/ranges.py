"""Reads parts of one version of a file on a server; a file that changes meanwhile is refused."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Optional

import requests

from allennlp_analyze.errors import SourceError, UnreachableError
from allennlp_analyze.sources.download import failures
from allennlp_analyze.sources.download.connection import Connection
from allennlp_analyze.sources.download.failures import DownloadError, Retries
from allennlp_analyze.sources.download.http import PROGRESS_BYTES
from allennlp_analyze.sources.download.version import Part, Version
from allennlp_analyze.text.redaction import redacted_url

_CHANGED = "the file on the server has changed while it was read; run again"


class Ranges:
    """The parts of one version of the file at `url`, which any thread may read.

    Every answer must have the same ETag, date and length as the first one, and the place that was
    asked for. Connections are kept open for the next part.
    """

    def __init__(self, url: str, timeout: float, headers: Optional[Mapping[str, str]] = None):
        self.address = redacted_url(url)
        self._url = url
        self._timeout = timeout
        self._headers = headers
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._version: Optional[Version] = None

    @property
    def version(self) -> Version:
        """The version that `open` found."""
        assert self._version is not None
        return self._version

    @property
    def size(self) -> int:
        assert self.version.size is not None
        return self.version.size

    def open(self, size: int) -> Optional[bytes]:
        """Returns the first `size` bytes, or all; None if the file must be downloaded whole.

        A server may not send parts, or nothing by which a change of the file would be noticed.
        Raises `DownloadError`.
        """
        retries = Retries()
        while True:
            connection = self._take()
            try:
                begin = self._first(connection, size)
            except DownloadError as error:
                connection.close()
                retries.failed(error)
            else:
                if begin is None:
                    connection.close()
                else:
                    self._give(connection)
                return begin

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yields the bytes from `start` to `stop` as they arrive; a lost connection is taken up.

        Raises `SourceError`, which names the URL, if the file has changed, and `UnreachableError`
        if the server does not send it.
        """
        retries, counted = Retries(connected=True), start
        while start < stop:
            connection = self._take()
            try:
                for piece in self._part(connection, start, stop):
                    start += len(piece)
                    if start - counted >= PROGRESS_BYTES:
                        retries.reset()
                        counted = start
                    yield piece
            except DownloadError as error:
                connection.close()
                self._again(retries, error)
            except BaseException:
                connection.close()
                raise
            else:
                self._give(connection)

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _again(self, retries: Retries, error: DownloadError) -> None:
        """Wait before the next attempt, or raise the error with the URL."""
        try:
            retries.failed(error)
        except DownloadError:
            passing = error.attempts > 1 or error.unavailable
            kind = UnreachableError if passing else SourceError
            raise kind(f"{self.address}: {error.text}") from None

    def _take(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Connection(self._url, self._timeout, self._headers)

    def _give(self, connection: Connection) -> None:
        with self._lock:
            self._idle.append(connection)

    def _first(self, connection: Connection, size: int) -> Optional[bytes]:
        with connection.send("GET", {"Range": f"bytes=0-{size - 1}"}) as response:
            if response.status_code in (200, 416):
                return None
            if response.status_code != 206:
                raise failures.of_status(response)
            part = Part.of(response.headers)
            if part is None or part.total is None or part.version.encoding is not None:
                return None
            version = replace(part.version, size=part.total)
            if version.validator is None or not part.continues(version, 0) or part.last >= size:
                return None
            begin = b"".join(_checked(connection, response, part.last + 1))
        self._version = version
        return begin

    def _part(self, connection: Connection, start: int, stop: int) -> Iterator[bytes]:
        """Yields what one answer has of the bytes from `start` to `stop`."""
        asked = {"Range": f"bytes={start}-{stop - 1}", "If-Range": self.version.validator or ""}
        with connection.send("GET", asked) as response:
            part = self._found(response, start, stop)
            yield from _checked(connection, response, part.last + 1 - start)

    def _found(self, response: requests.Response, start: int, stop: int) -> Part:
        status = response.status_code
        if status not in (200, 206, 416):
            raise failures.of_status(response)
        part = Part.of(response.headers) if status == 206 else None
        if part is not None and part.last < stop and part.continues(self.version, start):
            return part
        # A server that was asked for an outdated version sends the new one.
        now = part.version if part else Version.of(response.headers)
        total = part.total if part else now.size
        if status == 416 or self._is_other(now) or total not in (None, self.size):
            raise DownloadError(_CHANGED)
        raise failures.of_range(status)

    def _is_other(self, now: Version) -> bool:
        begun = self.version
        return (None not in (now.etag, begun.etag) and now.etag != begun.etag) or (
            None not in (now.last_modified, begun.last_modified)
            and now.last_modified != begun.last_modified
        )


def _checked(connection: Connection, response: requests.Response, declared: int) -> Iterator[bytes]:
    """Yields a body of exactly the `declared` length. Raises `DownloadError`."""
    size = 0
    for piece in connection.pieces(response):
        size += len(piece)
        if size > declared:
            raise DownloadError(failures.TOO_LONG)
        yield piece
    if size < declared:
        raise failures.of_truncation(size, declared)
