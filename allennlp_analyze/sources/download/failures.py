"""Download errors: the reason in words, and how often a failed request is retried."""

import email.utils
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Optional

import requests
from urllib3.exceptions import NewConnectionError

from allennlp_analyze.errors import SourceError
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.redaction import redacted, redacted_url

ATTEMPTS = 5
ATTEMPTS_AFTER_SILENCE = 2
BACKOFF = 0.5
LONGEST_WAIT = 30.0

TOO_LONG = "the server sent more than the length it declared"

_REFUSALS = {
    300: "the server offers several files; use the URL of one of them",
    401: "access denied",
    403: "access denied",
    404: "not found",
    407: "the proxy asks for a user name and password",
    410: "not found",
}
_NOT_NOW = (408, 425, 429)
_NEVER = (501, 505)


class DownloadError(SourceError):
    """Why a file could not be downloaded; the caller adds the URL to the text.

    `attempts` is the number of such failures in a row after which a download stops; 1 means that it
    is not retried. `wait` is the number of seconds that the server asks to wait. `unavailable`
    means that the server cannot be asked now, so a copy in the cache may be used.
    """

    def __init__(
        self,
        reason: str,
        attempts: int = 1,
        wait: Optional[float] = None,
        unavailable: bool = False,
    ) -> None:
        super().__init__(reason)
        self.attempts = attempts
        self.wait = wait
        self.unavailable = unavailable


class ConnectError(DownloadError):
    """The connection failed; this is retried only if the server was reached before."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot be reached: {reason}", unavailable=True)


class Retries:
    """Counts failures in a row.

    `connected` means that the server was reached before, so a refused connection is retried.
    """

    def __init__(self, connected: bool = False) -> None:
        self._connected = connected
        self._failures = 0

    def reset(self) -> None:
        """Start counting again, because the download has made progress."""
        self._failures = 0

    def failed(self, error: DownloadError) -> None:
        """Wait before the next attempt, or raise `error` if no attempts are left."""
        self._failures += 1
        passing = self._connected and isinstance(error, ConnectError)
        if self._failures >= (ATTEMPTS if passing else error.attempts):
            raise error
        backoff = BACKOFF * 2.0 ** (self._failures - 1)
        time.sleep(backoff if error.wait is None else error.wait)


def reason_of_status(status: int) -> str:
    """Describe an HTTP status other than success."""
    reason = "the server refused the request"
    if status < 300:
        reason = "the server did not send the file"
    elif status < 400:
        reason = "the server redirects to no other URL"
    return f"{_REFUSALS.get(status, reason)} (status {status})"


def of_status(response: requests.Response) -> DownloadError:
    """Returns the error for a response that is neither the file nor a redirect."""
    status = response.status_code
    reason = reason_of_status(status)
    if status not in _NOT_NOW and (status < 500 or status in _NEVER):
        return DownloadError(reason)
    wait = _retry_after(response.headers.get("Retry-After", ""))
    if wait is not None and wait > LONGEST_WAIT:
        return DownloadError(f"{reason}; the server asks to wait {wait:.0f} s", unavailable=True)
    return DownloadError(reason, ATTEMPTS, wait, unavailable=True)


def of_part(status: int, asked: bool) -> DownloadError:
    """Returns the error for a part of a file that does not continue what has arrived.

    `asked` means that a part was requested.
    """
    missing = "the server did not send the missing part"
    reason = missing if asked else "the server sent a part instead of the file"
    if status != 206:
        reason = missing if asked else "the server refused the request"
    return DownloadError(f"{reason} (status {status})", ATTEMPTS)


def of_range(status: int) -> DownloadError:
    """Returns the error for an answer without the part that was asked for."""
    return DownloadError(f"the server did not send the part asked for (status {status})", ATTEMPTS)


def of_truncation(size: int, declared: int) -> DownloadError:
    """Returns the error for a body of `size` bytes that ends before its declared length."""
    return DownloadError(
        f"truncated: got {size} of the {declared} bytes that the server declared", ATTEMPTS
    )


def of_request(error: Exception, timeout: float, url: str) -> DownloadError:
    """Returns the error for a request of `url` that got no response, or that must not be sent."""
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return DownloadError("too many redirects")
    if isinstance(error, requests.exceptions.InvalidSchema):
        return DownloadError(
            f"redirects to a URL that is not http:// or https://{told(error, url)}"
        )
    if isinstance(error, requests.exceptions.InvalidHeader):
        return DownloadError("the server sent an invalid header")
    if isinstance(error, ValueError):  # covers requests' own errors and those it passes on
        return DownloadError(f"is not a valid URL{told(error, url)}")
    if isinstance(error, requests.ConnectTimeout):
        return ConnectError(_silence(timeout))
    if isinstance(error, requests.Timeout):
        return of_silence(timeout)
    if isinstance(error, requests.ConnectionError):
        return _of_connection(error)
    name = type(error).__name__
    return DownloadError(f"cannot be downloaded: {name}{told(error, url)}")


def told(error: BaseException, url: str, limit: int = 120) -> str:
    """Returns the beginning of a library's text in parentheses, with its URLs redacted.

    The text may quote any part of `url`, so it is left out if there are secrets in `url`.
    """
    text = excerpt(redacted(str(error)), limit)
    return f" ({text})" if text and redacted_url(url) == url else ""


def of_silence(timeout: float) -> DownloadError:
    """Returns the error for a server that has stopped sending."""
    reason = f"timed out: {_silence(timeout)}"
    return DownloadError(reason, ATTEMPTS_AFTER_SILENCE, unavailable=True)


def of_body(error: Exception, timeout: float) -> DownloadError:
    """Returns the error for a connection that fails during the download."""
    if isinstance(error, socket.timeout):
        return of_silence(timeout)
    if isinstance(error, http.client.IncompleteRead):
        return DownloadError("the connection ended before the file did", ATTEMPTS)
    return DownloadError(f"connection lost ({_words(error)})", ATTEMPTS)


def _of_connection(error: requests.ConnectionError) -> DownloadError:
    words = _words(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectError(f"the proxy failed ({words})")
    never = (NewConnectionError, socket.gaierror, ssl.SSLCertVerificationError)
    if any(isinstance(cause, never) for cause in _causes(error)):
        return ConnectError(words)
    return DownloadError(f"connection lost ({words})", ATTEMPTS, unavailable=True)


def _words(error: BaseException) -> str:
    """Returns the operating system's text for the innermost cause."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            if cause.errno == socket.EAI_NONAME:
                return "unknown host"
            return "failed to resolve the host name"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"invalid certificate ({excerpt(cause.verify_message)})"
        if isinstance(cause, OSError) and cause.strerror:
            return excerpt(cause.strerror).lower()
    return excerpt(redacted(str(list(_causes(error))[-1]))) or type(error).__name__


def _causes(error: Optional[BaseException]) -> Iterator[BaseException]:
    """Yields the error and its causes, in the order of a traceback."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _silence(timeout: float) -> str:
    return f"no data from the server for {timeout:g} s"


def _retry_after(header: str) -> Optional[float]:
    """Returns the seconds of a Retry-After header, which may be a number or a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
