"""What servers, proxies and the network answer: followed, retried, or told as the reason."""

import logging
import os
import re
import socket
import time
from email.utils import formatdate

import pytest

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.download import failures as http_errors
from allennlp_analyze.sources.download.cache import fetch
from tests.support.downloads import BODY, NAME, closed_server, digest, get, refusal
from tests.support.http_server import (
    Exchange,
    File,
    HttpServer,
    by_method,
    first,
    forward,
    refusing,
)
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_retried(server: HttpServer, status: int) -> None:
    bad = refusing(status)
    whole = File(BODY)
    server.pages[NAME] = by_method(first([bad, bad], whole), first([bad, bad], whole))
    assert get(server) == BODY
    assert (server.count("HEAD"), server.count("GET")) == (3, 3)


def test_a_lasting_failure_is_told_with_its_status(server: HttpServer) -> None:
    server.pages[NAME] = refusing(500)
    assert refusal(server.url(NAME)) == "the server refused the request (status 500)"
    assert server.count("HEAD") == http_errors.ATTEMPTS


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "access denied"), (403, "access denied"), (404, "not found"), (410, "not found")],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_final_refusal_is_not_retried(
    server: HttpServer, status: int, words: str, late: bool
) -> None:
    server.pages[NAME] = by_method(File(BODY) if late else refusing(status), refusing(status))
    assert refusal(server.url(NAME)) == f"{words} (status {status})"
    assert len(server.requests) <= 2


def test_waits_as_long_as_the_server_asks(server: HttpServer) -> None:
    server.pages[NAME] = first([refusing(429, Retry_After="1")], File(BODY))
    started = time.monotonic()
    assert get(server) == BODY
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_does_not_wait_for_an_hour(server: HttpServer, form: str) -> None:
    wait = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    server.pages[NAME] = refusing(503, Retry_After=wait)
    assert re.search(
        r"\(status 503\); the server asks to wait 3[56]\d\d s$", refusal(server.url(NAME))
    )
    assert server.count("HEAD") == 1


@pytest.mark.parametrize("wait", ["soon", "-1", "", "1e9999"])
def test_a_wait_that_makes_no_sense_is_ignored(server: HttpServer, wait: str) -> None:
    server.pages[NAME] = first([refusing(503, Retry_After=wait)], File(BODY))
    assert get(server) == BODY


def test_a_reset_is_retried(server: HttpServer) -> None:
    def reset(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    server.pages[NAME] = first([reset, reset], File(BODY))
    assert get(server) == BODY
    assert server.count("HEAD") == 3


def test_redirects_are_followed(server: HttpServer) -> None:
    server.pages["old"] = refusing(302, Location="/older")
    server.pages["older"] = refusing(301, Location=server.url(NAME))
    server.pages[NAME] = File(BODY, cuts=[100_000])
    path = fetch(server.url("old"), quiet=True)
    assert path.read_bytes() == BODY
    assert path.name.startswith(digest(server.url("old")))


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (f"/{NAME}", "too many redirects"),
        ("file:///etc/passwd", "redirects to a URL that is not http"),
        ("ftp://127.0.0.1/x", "redirects to a URL that is not http"),
        ("http://[::1", "is not a valid URL"),
    ],
)
def test_bad_redirects_are_refused(server: HttpServer, location: str, words: str) -> None:
    server.pages[NAME] = refusing(302, Location=location)
    assert words in refusal(server.url(NAME))


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_without_head(server: HttpServer, status: int) -> None:
    server.pages[NAME] = by_method(refusing(status), File(BODY))
    path = fetch(server.url(NAME), quiet=True)
    assert path.read_bytes() == BODY
    assert path.suffix == f".{digest(chr(34) + '1' + chr(34))}"
    assert fetch(server.url(NAME), quiet=True) == path
    assert server.count("GET") == 3  # two questions and one download


def test_proxy_variables_are_honoured(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = HttpServer()
    proxy.default = forward
    server.pages[NAME] = File(BODY)
    monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        assert fetch(server.url(NAME, "a-model.test"), quiet=True).read_bytes() == BODY
        assert [request.method for request in proxy.requests] == ["HEAD", "GET"]
        assert get(server) == BODY
        assert len(proxy.requests) == 2
    finally:
        proxy.close()


def test_a_proxy_that_is_not_there_is_named_as_the_reason(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", closed_server().url(""))
    line = refusal(server.url(NAME, "a-model.test"))
    assert line == "cannot be reached: the proxy failed (connection refused)"


def test_a_refused_connection_is_told_at_once() -> None:
    started = time.monotonic()
    assert refusal(closed_server().url(NAME)) == "cannot be reached: connection refused"
    assert time.monotonic() - started < PATIENCE


def test_a_host_that_does_not_exist() -> None:
    started = time.monotonic()
    assert "host" in refusal(f"http://no-such-host.invalid/{NAME}")
    assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("failure", ["refused", "silent", "failing"])
def test_without_network_the_copy_is_used_and_said(
    server: HttpServer, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    server.pages[NAME] = File(BODY[::-1], etag='"older"')
    older = fetch(server.url(NAME), quiet=True)
    os.utime(older, (1e9, 1e9))
    server.pages[NAME] = File(BODY)
    path = fetch(server.url(NAME), quiet=True)
    assert caplog.records == []
    if failure == "refused":
        server.close()
    server.pages[NAME] = Exchange.stall if failure == "silent" else refusing(503)
    assert fetch(server.url(NAME), quiet=True, timeout=0.3) == path
    ((_, level, text),) = caplog.record_tuples
    assert level == logging.WARNING
    assert text.startswith(server.url(NAME))
    assert text.endswith("; using the copy in the cache")


def test_a_copy_does_not_hide_that_the_file_is_gone(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY)
    get(server)
    server.pages[NAME] = refusing(404)
    with pytest.raises(SourceError, match="not found"):
        get(server)


def test_an_older_copy_does_not_replace_a_download_that_fails(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY)
    get(server)
    server.pages[NAME] = File(BODY[::-1], etag='"2"', cuts=[0] * 50)
    with pytest.raises(SourceError, match="truncated: got 0 of"):
        get(server)
