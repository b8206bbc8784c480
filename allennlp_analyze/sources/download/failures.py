"""What a failed request means: the reason in words, and how often it is worth a further attempt."""

import email.utils
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Optional

import requests
from urllib3.exceptions import NewConnectionError

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.pickles.description import printable

ATTEMPTS = 5
ATTEMPTS_AFTER_SILENCE = 2
BACKOFF = 0.5
LONGEST_WAIT = 30.0

_REFUSALS = {401: "access denied", 403: "access denied", 404: "not found", 410: "not found"}
_NOT_NOW = (408, 425, 429)
_NEVER = (501, 505)


class DownloadError(SourceError):
    """Why a file cannot be had; the text leaves the URL to the caller.

    `attempts` are how many such failures in a row end a download: 1 is final. `wait` is how many
    seconds the server asks for. When `unavailable`, the server cannot be asked at present, so that
    a copy in the cache may stand in.
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
    """There is no connection: worth a further attempt only where there was one before."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot be reached: {reason}", unavailable=True)


class Retries:
    """Failures in a row. `connected`: the server was reached before, so a refusal may pass."""

    def __init__(self, connected: bool = False) -> None:
        self._connected = connected
        self._failures = 0

    def reset(self) -> None:
        """Count anew, because something was gained."""
        self._failures = 0

    def failed(self, error: DownloadError) -> None:
        """Wait for the next attempt; raises `error` when there have been enough."""
        self._failures += 1
        passing = self._connected and isinstance(error, ConnectError)
        if self._failures >= (ATTEMPTS if passing else error.attempts):
            raise error
        backoff = BACKOFF * 2.0 ** (self._failures - 1)
        time.sleep(backoff if error.wait is None else error.wait)


def reason_of_status(status: int) -> str:
    """What a status that is not success says of the file."""
    return f"{_REFUSALS.get(status, 'the server refuses')} (status {status})"


def of_status(response: requests.Response) -> DownloadError:
    """The error of an answer that is neither the file nor a redirect to it."""
    status = response.status_code
    reason = reason_of_status(status)
    if status not in _NOT_NOW and (status < 500 or status in _NEVER):
        return DownloadError(reason)
    wait = _retry_after(response.headers.get("Retry-After", ""))
    if wait is not None and wait > LONGEST_WAIT:
        return DownloadError(f"{reason}; it asks to wait {wait:.0f} s", unavailable=True)
    return DownloadError(reason, ATTEMPTS, wait, unavailable=True)


def of_request(error: Exception, timeout: float) -> DownloadError:
    """The error of a request that was not answered, or that is not to be sent."""
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return DownloadError("redirects in a circle, or too often")
    if isinstance(error, requests.exceptions.InvalidSchema):
        return DownloadError(
            f"refused: redirects to what is not http:// or https:// ({printable(error)})"
        )
    if isinstance(error, ValueError):  # requests' own are, and those that it lets through
        return DownloadError(f"is not a valid URL ({printable(error)})")
    if isinstance(error, requests.ConnectTimeout):
        return ConnectError(_silence(timeout))
    if isinstance(error, requests.Timeout):
        return of_silence(timeout)
    if isinstance(error, requests.ConnectionError):
        return _of_connection(error)
    return DownloadError(
        f"cannot be downloaded ({printable(f'{type(error).__name__}: {error}', 200)})"
    )


def of_silence(timeout: float) -> DownloadError:
    """The error of a server that has stopped sending."""
    reason = f"timed out: {_silence(timeout)}"
    return DownloadError(reason, ATTEMPTS_AFTER_SILENCE, unavailable=True)


def of_body(error: Exception, timeout: float) -> DownloadError:
    """The error of a connection that fails while the file is being received."""
    if isinstance(error, socket.timeout):
        return of_silence(timeout)
    return DownloadError(f"the connection was lost ({_words(error)})", ATTEMPTS)


def _of_connection(error: requests.ConnectionError) -> DownloadError:
    words = _words(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectError(f"the proxy cannot be used ({words})")
    never = (NewConnectionError, socket.gaierror, ssl.SSLCertVerificationError)
    if any(isinstance(cause, never) for cause in _causes(error)):
        return ConnectError(words)
    return DownloadError(f"the connection was lost ({words})", ATTEMPTS, unavailable=True)


def _words(error: BaseException) -> str:
    """The innermost cause that the operating system names, in its words."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            if cause.errno == socket.EAI_NONAME:
                return "there is no host of that name"
            return "its host's name is not resolved"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid ({printable(cause.verify_message)})"
        if isinstance(cause, OSError) and cause.strerror:
            return printable(cause.strerror).lower()
    return printable(list(_causes(error))[-1]) or type(error).__name__


def _causes(error: Optional[BaseException]) -> Iterator[BaseException]:
    """The error and what it came from, the way a traceback tells it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _silence(timeout: float) -> str:
    return f"it has sent nothing for {timeout:g} s"


def _retry_after(header: str) -> Optional[float]:
    """The seconds of a Retry-After header, which may be a number or a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
