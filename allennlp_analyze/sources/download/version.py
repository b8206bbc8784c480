"""Tells versions of a file on a server apart, so that parts of two are never joined."""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.sources.download.failures import DownloadError

# A file that is written twice in a second has one date for both versions. So a date counts only if
# the answer is younger than the file by more than a second (RFC 9110, 8.8.2.2).
_YOUNGER_SECONDS = 1.0
# 10^18 bytes are more than any disk has.
_MOST_DIGITS = 18
_WEAK = "W/"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Version:
    """The server's description of its current file; a field that it does not send is None."""

    etag: Optional[str]
    last_modified: Optional[str]
    size: Optional[int]
    date: Optional[str] = None
    encoding: Optional[str] = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Version":
        """Returns the version that a response describes; its `size` is that of the response.

        Raises `DownloadError` if the declared length is impossible.
        """
        return cls(
            headers.get("ETag"),
            headers.get("Last-Modified"),
            _length(headers),
            headers.get("Date"),
            headers.get("Content-Encoding"),
        )

    @property
    def validator(self) -> Optional[str]:
        """The value for If-Range, or None if the server's answer may not be resumed.

        A weak ETag, or a date that may stand for two versions, must not be used there (RFC 9110,
        13.1.5).
        """
        if self.etag is not None:
            return None if self.etag.startswith(_WEAK) else self.etag
        modified, answered = self.modified, _seconds(self.date)
        if modified is None or answered is None or answered - modified < _YOUNGER_SECONDS:
            return None
        return self.last_modified

    @property
    def modified(self) -> Optional[float]:
        """`last_modified` in seconds since the epoch, or None."""
        return _seconds(self.last_modified)

    def differs(self, other: "Version") -> bool:
        """Whether both versions have an ETag and the two differ, weak or strong."""
        if self.etag is None or other.etag is None:
            return False
        return self.etag.replace(_WEAK, "", 1) != other.etag.replace(_WEAK, "", 1)


@dataclass(frozen=True)
class Part:
    """A part of a file: its first and last byte, the size of the file, and its version.

    The size is None if the server does not say it.
    """

    first: int
    last: int
    total: Optional[int]
    version: Version

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Optional["Part"]:
        """Returns the part in a response, or None if there is no part in it."""
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if match is None:
            return None
        first, last, total = match.groups()
        size = None if total == "*" else int(total)
        return cls(int(first), int(last), size, Version.of(headers))

    def continues(self, begun: Version, size: int) -> bool:
        """Whether this is the rest of the version `begun`, of which `size` bytes have arrived.

        Some servers ignore If-Range, so everything that was said about the file is compared. A
        server may leave out Last-Modified beside an ETag (RFC 9110, 15.3.7.1), but nothing else.
        """
        now, total = self.version, self.total
        is_rest = self.first == size <= self.last
        is_within = total is not None and self.last < total and begun.size in (None, total)
        same_length = now.size in (None, self.last - self.first + 1)
        same_date = now.last_modified == begun.last_modified
        if begun.etag is not None and now.last_modified is None:
            same_date = True
        same_version = now.etag == begun.etag and same_date and now.encoding == begun.encoding
        return is_rest and is_within and same_length and same_version


def _length(headers: Mapping[str, str]) -> Optional[int]:
    """Returns the exact Content-Length, or None. Raises `DownloadError` if it is impossible."""
    text = headers.get("Content-Length", "").strip()
    if "Transfer-Encoding" in headers or not (text.isascii() and text.isdecimal()):
        return None
    if len(text.lstrip("0")) > _MOST_DIGITS:
        raise DownloadError("the server declares an impossible length")
    return int(text)


def _seconds(date: Optional[str]) -> Optional[float]:
    """Returns a date of HTTP in seconds since the epoch, or None."""
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
