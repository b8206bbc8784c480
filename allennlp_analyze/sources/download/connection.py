"""One HTTP connection to a file: requests, redirects, and the body piece by piece."""

import http.client
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Optional

import requests

from allennlp_analyze.sources.download import failures
from allennlp_analyze.sources.download.failures import DownloadError
from allennlp_analyze.text.redaction import redacted

MAX_REDIRECTS = 10
# A connection that delivers less than this within the timeout has stalled.
LEAST_BYTES = 1024

_PIECE = 2**18
# They log every request with its query, if somebody listens.
_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "urllib3.poolmanager")


class Connection:
    """Sends requests for `url`, with the environment's proxies and .netrc; kept open between them.

    `timeout` limits the connection and every wait for data, in seconds. `headers` go with every
    request; requests does not send `Authorization` to another host after a redirect.
    """

    def __init__(
        self, url: str, timeout: float, headers: Optional[Mapping[str, str]] = None
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._session = requests.Session()
        self._session.max_redirects = MAX_REDIRECTS
        self._session.headers.update(headers or {})
        # Request the file as it is stored: an archive must not be decompressed on the way.
        self._session.headers["Accept-Encoding"] = "identity"
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_redact_record)

    def close(self) -> None:
        self._session.close()

    def send(self, method: str, headers: Optional[Mapping[str, str]] = None) -> requests.Response:
        """Returns the response, whose body is not read yet. Raises `DownloadError`."""
        try:
            return self._session.request(
                method,
                self._url,
                headers=headers,
                timeout=self._timeout,
                stream=True,
                allow_redirects=True,
            )
        except (requests.RequestException, ValueError) as error:
            raise failures.of_request(error, self._timeout, self._url) from None

    def pieces(self, response: requests.Response) -> Iterator[bytes]:
        """Yields the body as it arrives. Raises `DownloadError`.

        After the last piece the connection can send the next request.
        """
        # urllib3 1.26 cannot return the data received so far without waiting for more.
        body = response.raw._original_response
        since, count = time.monotonic(), 0
        while True:
            try:
                piece = _next_piece(body)
            except (OSError, http.client.HTTPException) as error:
                raise failures.of_body(error, self._timeout) from None
            if not piece:
                break
            yield piece
            count += len(piece)
            if time.monotonic() - since > self._timeout:
                if count < LEAST_BYTES:
                    raise failures.of_silence(self._timeout)
                since, count = time.monotonic(), 0
        if not body.length:
            body.close()
            response.raw.release_conn()


def _redact_record(record: logging.LogRecord) -> bool:
    """Redact a line of a library's log; a filter that stays, as others may be downloading."""
    record.msg, record.args = redacted(record.getMessage()), None
    return True


def _next_piece(body: http.client.HTTPResponse) -> bytes:
    """Returns the data received so far, the last byte on its own to see whether more follows."""
    left = body.length
    if left == 1 and len(body.peek(2)) > 1:
        raise DownloadError(failures.TOO_LONG)
    return body.read1(_PIECE if left is None else min(_PIECE, max(1, left - 1)))
