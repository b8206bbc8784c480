"""Odd answers of HTTP: each is one clear line, after a bounded number of requests, nothing kept."""

import socket

import pytest

from allennlp_analyze.sources.download import failures as http_errors
from tests.support.downloads import BODY, NAME, get, refusal
from tests.support.http_server import Exchange, File, HttpServer, Page, by_method, refusing

pytestmark = pytest.mark.newest_python

REFUSED = "the server refused the request (status {})"
NOT_SENT = "the server did not send the file (status {})"
NOWHERE = "the server redirects to no other URL (status {})"


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (103, NOT_SENT),
        (201, NOT_SENT),
        (204, NOT_SENT),
        (206, NOT_SENT),
        (300, "the server offers several files; use the URL of one of them (status {})"),
        (301, NOWHERE),
        (304, NOWHERE),
        (400, REFUSED),
        (407, "the proxy asks for a user name and password (status {})"),
        (416, REFUSED),
        (451, REFUSED),
    ],
)
def test_a_status_that_brings_no_file(server: HttpServer, status: int, line: str) -> None:
    server.pages[NAME] = refusing(status)
    assert refusal(server.url(NAME)) == line.format(status)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (204, NOT_SENT),
        (206, "the server sent a part instead of the file (status {})"),
        (416, REFUSED),
    ],
)
def test_a_status_that_brings_no_file_after_the_question(
    server: HttpServer, status: int, line: str
) -> None:
    server.pages[NAME] = by_method(File(BODY), refusing(status))
    assert refusal(server.url(NAME)) == line.format(status)
    assert server.count("GET") <= http_errors.ATTEMPTS


@pytest.mark.parametrize("status", [206, 416])
def test_no_part_ever_after_a_cut(server: HttpServer, status: int) -> None:
    """The whole file is asked for in between, which is cut each time."""

    def page(exchange: Exchange) -> None:
        asked = "Range" in exchange.headers
        (refusing(status) if asked else File(BODY, cuts=[100_000]))(exchange)

    server.pages[NAME] = by_method(File(BODY), page)
    line = refusal(server.url(NAME))
    assert line.startswith(
        ("truncated: got 100000 of", f"the server did not send the missing part (status {status})")
    )
    assert server.count("GET") == http_errors.ATTEMPTS


def raw(answer: bytes) -> Page:
    """A page that sends these bytes, and no more."""

    def page(exchange: Exchange) -> None:
        exchange.wfile.write(answer)
        exchange.close_connection = True

    return page


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (CHUNKED + b"5\r\nabcde\r\n", "the connection ended before the file did"),
        (CHUNKED + b"5\r\nab", "the connection ended before the file did"),
        (CHUNKED + b"zz\r\nabcde", "the connection ended before the file did"),
        (OK + b"Content-Length: 9\r\n\r\nabc", "truncated: got 3 of the 9 bytes"),
        (OK + b"Content-Length: 99999999999999999\r\n\r\nabc", "truncated: got 3 of the 99"),
        (OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nabc", "an impossible length"),
        (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nabc", "an impossible length"),
        (OK + b"Content-Length: 3, 4\r\n\r\nabc", "the server sent an invalid header"),
        (b"", "connection lost"),
        (b"not http at all\r\n\r\n", "connection lost"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "connection lost"),
        (OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n", "connection lost"),
        (OK + b"X: 1\r\n" * 200 + b"\r\n", "connection lost"),
    ],
)
def test_a_body_or_a_header_that_cannot_be(server: HttpServer, answer: bytes, line: str) -> None:
    server.pages[NAME] = by_method(File(BODY), raw(answer))
    said = refusal(server.url(NAME))
    assert line in said
    assert len(said) < 120
    assert server.count("GET") <= http_errors.ATTEMPTS


@pytest.mark.parametrize("length", ["-5", "many", ""])
def test_a_length_that_is_none_counts_as_none(server: HttpServer, length: str) -> None:
    answer = OK + f"Content-Length: {length}\r\nConnection: close\r\n\r\n".encode() + BODY
    server.pages[NAME] = by_method(File(BODY), raw(answer))
    assert get(server) == BODY


def test_an_answer_before_the_answer_is_skipped(server: HttpServer) -> None:
    head = f"Content-Length: {len(BODY)}\r\n\r\n".encode()
    server.pages[NAME] = by_method(
        File(BODY), raw(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + head + BODY)
    )
    assert get(server) == BODY


def test_a_closed_port_in_a_redirect_is_told(server: HttpServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server.pages[NAME] = refusing(302, Location=f"http://127.0.0.1:{taken.getsockname()[1]}/")
        assert refusal(server.url(NAME)) == "cannot be reached: connection refused"
