"""Servers that fall silent: given up after the timeout, and downloads resumed."""

import socket
import time
from contextlib import ExitStack

import pytest

from allennlp_analyze.errors import UsageError
from allennlp_analyze.sources.download import failures as http_errors
from allennlp_analyze.sources.download.cache import fetch
from tests.support.downloads import BODY, NAME, get, refusal
from tests.support.http_server import Exchange, File, HttpServer, by_method, first
from tests.support.waiting import PATIENCE, wait_until


def stalling(after: int) -> File:
    """A page that sends so much of the body, and then no more."""

    class Stalling(File):
        def __call__(self, exchange: Exchange) -> None:
            super().__call__(exchange)
            if exchange.command == "GET":
                exchange.stall()

    return Stalling(BODY[:after], headers={"Content-Length": len(BODY)})


def test_a_stall_times_out(server: HttpServer) -> None:
    server.pages[NAME] = by_method(File(BODY), stalling(1000))
    started = time.monotonic()
    assert refusal(server.url(NAME), timeout=0.3) == "timed out: no data from the server for 0.3 s"
    assert time.monotonic() - started < PATIENCE


def test_a_stall_is_resumed(server: HttpServer) -> None:
    server.pages[NAME] = by_method(File(BODY), first([stalling(1000)], File(BODY)))
    assert get(server, timeout=2.0) == BODY
    assert server.sent("GET")[1].headers["Range"] == "bytes=1000-"


def test_a_server_that_never_answers_times_out(server: HttpServer) -> None:
    server.pages[NAME] = Exchange.stall
    assert "timed out" in refusal(server.url(NAME), timeout=0.3)
    attempts = http_errors.ATTEMPTS_AFTER_SILENCE
    wait_until(lambda: server.count("HEAD") >= attempts)  # the server may be the slower one
    assert server.count("HEAD") == attempts


def test_a_drip_is_a_stall(server: HttpServer) -> None:
    def drip(exchange: Exchange) -> None:
        exchange.send(200, {"Content-Length": len(BODY), "ETag": '"1"'})
        while not exchange.server.closing.wait(0.05):
            exchange.wfile.write(b"x")

    server.pages[NAME] = by_method(File(BODY), drip)
    started = time.monotonic()
    assert "timed out" in refusal(server.url(NAME), timeout=0.4)
    assert time.monotonic() - started < PATIENCE


def test_a_slow_server_that_keeps_sending_is_waited_for(server: HttpServer) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.send(200, {"Content-Length": len(BODY), "ETag": '"1"'})
        for start in range(0, len(BODY), 12_000):
            time.sleep(0.1)
            exchange.wfile.write(BODY[start : start + 12_000])

    server.pages[NAME] = by_method(File(BODY), slow)
    assert get(server, timeout=2.0) == BODY  # less than all takes


def test_a_connection_that_is_not_accepted_times_out() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # fill the queue of connections to be accepted
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/{NAME}"
        started = time.monotonic()
        assert refusal(url, timeout=0.5) == "cannot be reached: no data from the server for 0.5 s"
        assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_timeout(server: HttpServer, timeout: float) -> None:
    with pytest.raises(UsageError, match="timeout"):
        fetch(server.url(NAME), quiet=True, timeout=timeout)
    assert server.requests == []
