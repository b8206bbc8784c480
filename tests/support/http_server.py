"""A real HTTP server on the loopback interface whose answers, and failures, a test chooses."""

import re
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable, Optional
from urllib.parse import urlsplit

from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Request:
    """What a client has sent."""

    method: str
    path: str
    headers: dict[str, str]


class Exchange(BaseHTTPRequestHandler):
    """One request and what a page answers to it."""

    protocol_version = "HTTP/1.1"
    server: "HttpServer"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests.append(Request(self.command, name, dict(self.headers.items())))
        self.server.pages.get(name, self.server.default)(self)

    def send(
        self,
        status: int,
        headers: Optional[dict[str, object]] = None,
        body: bytes = b"",
        cut: Optional[int] = None,
    ) -> None:
        """Answer; Content-Length is that of `body` unless `headers` has one (None: no such header).

        `cut` ends the connection after so many bytes of the body.
        """
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **(headers or {})}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:cut])
            self.server.sent_bytes += len(body[:cut])
        if cut is not None:
            self.close_connection = True

    def stall(self) -> None:
        """Send nothing more until the server is closed."""
        self.close_connection = True
        self.server.closing.wait(PATIENCE)

    def log_message(self, *args: object) -> None:
        pass


Page = Callable[[Exchange], None]


@dataclass
class File:
    """A page that serves `body`, ranges of it too; the first GETs end after `cuts` bytes each."""

    body: bytes
    etag: Optional[str] = '"1"'
    last_modified: Optional[str] = None
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    headers: dict[str, object] = field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> None:
        names = {"ETag": self.etag, "Last-Modified": self.last_modified, **self.headers}
        asked = self._asked(exchange)
        cut = self.cuts.pop(0) if self.cuts and exchange.command == "GET" else None
        size = len(self.body)
        if asked is None:
            exchange.send(200, names, self.body, cut)
        elif asked.start >= size:
            exchange.send(416, {"Content-Range": f"bytes */{size}"})
        else:
            part = self.body[asked]
            place = f"bytes {asked.start}-{asked.start + len(part) - 1}/{size}"
            exchange.send(206, {**names, "Content-Range": place}, part, cut)

    def _asked(self, exchange: Exchange) -> Optional[slice]:
        """The asked-for part; None for the whole."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", exchange.headers.get("Range", ""))
        condition = exchange.headers.get("If-Range")
        if match is None or not self.ranges:
            return None
        if condition is not None and condition not in (self.etag, self.last_modified):
            return None
        return slice(int(match[1]), int(match[2]) + 1 if match[2] else None)


def missing(exchange: Exchange) -> None:
    exchange.send(404)


def refusing(status: int, **headers: str) -> Page:
    """A page that answers `status` to everything; `_` in the names of `headers` stands for `-`."""
    return lambda exchange: exchange.send(
        status, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def first(pages: list[Page], then: Page) -> Page:
    """Each of `pages` for one request, then always `then`."""
    left = list(pages)
    return lambda exchange: (left.pop(0) if left else then)(exchange)


def by_method(head: Page, get: Page) -> Page:
    return lambda exchange: (head if exchange.command == "HEAD" else get)(exchange)


def forward(exchange: Exchange) -> None:
    """What a proxy does, whatever the host is called: everything is on this machine."""
    target = urlsplit(exchange.path)
    connection = HTTPConnection("127.0.0.1", target.port)
    connection.request(exchange.command, target.path, headers=dict(exchange.headers.items()))
    answer = connection.getresponse()
    exchange.send(answer.status, dict(answer.getheaders()), answer.read())
    connection.close()


class HttpServer(ThreadingHTTPServer):
    """Answers by `pages` (by path, else `default`) and records `requests`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.pages: dict[str, Page] = {}
        self.default: Page = missing
        self.requests: list[Request] = []
        self.sent_bytes = 0  # of the bodies
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_address[1]}/{path}"

    def count(self, method: str) -> int:
        return len(self.sent(method))

    def sent(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    def close(self) -> None:
        """Refuse connections from now on."""
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what the tests are about."""
