"""Downloads that go wrong, from a real server: each is repaired, or refused and never cached."""

import errno
import gzip
import hashlib
import io
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_safetensors

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.sources.download import failures as http_errors
from allennlp_analyze.sources.download import http as http_client
from allennlp_analyze.sources.download.cache import cache_directory, fetch
from allennlp_analyze.sources.opening import open_source
from tests.support.http_server import (
    Exchange,
    File,
    HttpServer,
    by_method,
    first,
    forward,
    refusing,
)

BODY = np.random.default_rng(1).bytes(300_000)
NAME = "model.tar.gz"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of one's own, no proxy, and little patience."""
    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path / "cache-root"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(http_errors, "BACKOFF", 0.01)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = HttpServer()
    yield running
    running.close()


def get(server: HttpServer, path: str = NAME, timeout: float = 5.0) -> bytes:
    return fetch(server.url(path), quiet=True, timeout=timeout).read_bytes()


def refusal(url: str, timeout: float = 5.0) -> str:
    """The line of the error, which begins with the URL; nothing is cached."""
    with pytest.raises(SourceError) as caught:
        fetch(url, quiet=True, timeout=timeout)
    line = str(caught.value)
    assert line.startswith(f"{url}: ")
    assert "\n" not in line
    assert cached() == []
    return line[len(url) + 2 :]


def cached() -> list[str]:
    """What the cache holds, but for the locks, which stay."""
    directory = cache_directory()
    names = os.listdir(directory) if directory.is_dir() else []
    return sorted(name for name in names if not name.endswith(".lock"))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def zipped_weights() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.eye(30)}, buffer)
    return buffer.getvalue()


def legacy_weights() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.eye(30)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (("config.json", b"{}"), ("weights.th", legacy_weights())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# Cuts and lengths


def test_a_cut_download_is_resumed(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY, cuts=[100_000, 50_000])
    assert get(server) == BODY
    ranges = [(r.headers.get("Range"), r.headers.get("If-Range")) for r in server.sent("GET")]
    assert ranges == [(None, None), ("bytes=100000-", '"1"'), ("bytes=150000-", '"1"')]


def test_a_date_is_good_enough_to_resume_by(server: HttpServer) -> None:
    date = formatdate(1e9, usegmt=True)
    server.pages[NAME] = File(BODY, etag=None, last_modified=date, cuts=[100_000])
    assert get(server) == BODY
    assert server.sent("GET")[1].headers["If-Range"] == date


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_what_cannot_be_compared_is_not_resumed(server: HttpServer, etag: Optional[str]) -> None:
    server.pages[NAME] = File(BODY, etag=etag, cuts=[100_000])
    assert get(server) == BODY
    assert [r.headers.get("Range") for r in server.sent("GET")] == [None, None]


def test_a_server_that_ignores_ranges_sends_it_all_again(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY, ranges=False, cuts=[100_000])
    assert get(server) == BODY
    assert server.count("GET") == 2


def test_a_wrong_part_is_not_joined(server: HttpServer) -> None:
    def wrong_part(exchange: Exchange) -> None:
        end = len(BODY)
        headers = {"Content-Range": f"bytes 7-{end - 1}/{end}", "ETag": '"1"'}
        exchange.send(206, headers, BODY[7:])

    whole = File(BODY)
    pages = [File(BODY, cuts=[100_000]), wrong_part]
    server.pages[NAME] = by_method(whole, first(pages, whole))
    assert get(server) == BODY
    assert [r.headers.get("Range") for r in server.sent("GET")] == [None, "bytes=100000-", None]


def test_a_file_that_changes_between_the_parts_is_begun_anew(server: HttpServer) -> None:
    old, new = File(BODY, etag='"old"', cuts=[100_000]), File(BODY[::-1], etag='"new"')
    server.pages[NAME] = first([old, old], new)
    path = fetch(server.url(NAME), quiet=True)
    assert path.read_bytes() == BODY[::-1]
    assert path.name == f"{digest(server.url(NAME))}.{digest(chr(34) + 'new' + chr(34))}"
    assert cached() == [path.name, path.name + ".json"]


def test_a_file_that_changes_after_the_question_is_named_by_what_came(server: HttpServer) -> None:
    server.pages[NAME] = first([File(BODY, etag='"old"')], File(BODY[::-1], etag='"new"'))
    path = fetch(server.url(NAME), quiet=True)
    assert path.read_bytes() == BODY[::-1]
    assert path.suffix == f".{digest(chr(34) + 'new' + chr(34))}"


def test_a_server_that_never_names_a_version_twice_is_believed(server: HttpServer) -> None:
    server.pages[NAME] = by_method(File(BODY, etag='"a"'), File(BODY, etag='"b"'))
    assert get(server) == BODY


def test_many_cuts_with_progress_are_endured(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "PROGRESS_BYTES", 10_000)
    server.pages[NAME] = File(BODY, cuts=[20_000] * 12)
    assert get(server) == BODY
    assert server.count("GET") == 13


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_never_gets_further_is_given_up(server: HttpServer, ranges: bool) -> None:
    server.pages[NAME] = File(BODY, ranges=ranges, cuts=[1000, *[0 if ranges else 1000] * 50])
    assert refusal(server.url(NAME)).startswith("truncated: got 1000 of the 300000 bytes")
    assert server.count("GET") == http_errors.ATTEMPTS


@pytest.mark.parametrize("ranges", [True, False])
def test_a_body_shorter_than_declared_is_refused(server: HttpServer, ranges: bool) -> None:
    page = File(BODY, ranges=ranges, headers={"Content-Length": len(BODY) + 5})

    def closing(exchange: Exchange) -> None:
        page(exchange)
        exchange.close_connection = True

    server.pages[NAME] = closing
    line = refusal(server.url(NAME))
    assert "truncated: got 300000 of the 300005 bytes" in line or "the missing part" in line


@pytest.mark.parametrize("excess", [1, 100, 100_000, len(BODY) - 1])
def test_a_body_longer_than_declared_is_refused(server: HttpServer, excess: int) -> None:
    server.pages[NAME] = File(BODY, headers={"Content-Length": len(BODY) - excess})
    assert refusal(server.url(NAME)) == "the server sent more than the length it declared"


def test_only_the_answer_itself_declares_the_length(server: HttpServer) -> None:
    server.pages[NAME] = by_method(File(b"x"), File(BODY))
    assert get(server) == BODY


def unmeasured(body: bytes) -> File:
    """A page without Content-Length: the body ends where the connection does."""
    return File(body, headers={"Content-Length": None, "Connection": "close"})


def test_a_missing_length_is_no_obstacle(server: HttpServer) -> None:
    server.pages[NAME] = unmeasured(BODY)
    assert get(server) == BODY


def test_a_cut_between_chunks_is_seen_and_resumed(server: HttpServer) -> None:
    def cut_chunk(exchange: Exchange) -> None:
        headers = {"Content-Length": None, "Transfer-Encoding": "chunked", "ETag": '"1"'}
        exchange.send(200, headers, b"186a0\r\n" + BODY[:100_000] + b"\r\n", cut=200_000)

    server.pages[NAME] = by_method(File(BODY), first([cut_chunk], File(BODY)))
    assert get(server) == BODY
    assert server.sent("GET")[1].headers["Range"] == "bytes=100000-"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (NAME, archive()),
        ("weights.th", legacy_weights()),
        ("weights.pt", zipped_weights()),
        ("model.safetensors", save_safetensors({"w": np.eye(30)})),
    ],
)
def test_a_cut_that_no_length_betrays_is_evicted(
    server: HttpServer, name: str, body: bytes
) -> None:
    server.pages[name] = unmeasured(body[:-40])
    with (
        pytest.raises(SourceError, match=re.escape(server.url(name))),
        open_source(server.url(name)),
    ):
        pass
    assert cached() == []
    server.pages[name] = unmeasured(body)
    with open_source(server.url(name)) as source:
        assert list(source.tensors) == ["w"]


def test_of_two_downloads_the_damaged_one_is_evicted(server: HttpServer) -> None:
    server.pages[NAME] = File(archive())
    server.pages["other.th"] = File(legacy_weights()[:-40])
    with pytest.raises(SourceError), open_source(server.url(NAME), server.url("other.th")):
        pass
    kept = [name for name in cached() if not name.endswith(".json")]
    assert [name.split(".")[0] for name in kept] == [digest(server.url(NAME))]


def test_an_encoding_nobody_asked_for_is_not_undone(server: HttpServer) -> None:
    packed = archive()
    server.pages[NAME] = File(packed, headers={"Content-Encoding": "gzip"})
    assert get(server) == packed
    assert {r.headers["Accept-Encoding"] for r in server.requests} == {"identity"}


# Silence


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
    assert time.monotonic() - started < 20


def test_a_stall_is_resumed(server: HttpServer) -> None:
    server.pages[NAME] = by_method(File(BODY), first([stalling(1000)], File(BODY)))
    assert get(server, timeout=0.3) == BODY
    assert server.sent("GET")[1].headers["Range"] == "bytes=1000-"


def test_a_server_that_never_answers_times_out(server: HttpServer) -> None:
    server.pages[NAME] = Exchange.stall
    assert "timed out" in refusal(server.url(NAME), timeout=0.3)
    assert server.count("HEAD") == http_errors.ATTEMPTS_AFTER_SILENCE


def test_a_drip_is_a_stall(server: HttpServer) -> None:
    def drip(exchange: Exchange) -> None:
        exchange.send(200, {"Content-Length": len(BODY), "ETag": '"1"'})
        while not exchange.server.closing.wait(0.05):
            exchange.wfile.write(b"x")

    server.pages[NAME] = by_method(File(BODY), drip)
    started = time.monotonic()
    assert "timed out" in refusal(server.url(NAME), timeout=0.4)
    assert time.monotonic() - started < 20


def test_a_slow_server_that_keeps_sending_is_waited_for(server: HttpServer) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.send(200, {"Content-Length": len(BODY), "ETag": '"1"'})
        for start in range(0, len(BODY), 30_000):
            time.sleep(0.1)
            exchange.wfile.write(BODY[start : start + 30_000])

    server.pages[NAME] = by_method(File(BODY), slow)
    assert get(server, timeout=0.5) == BODY


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
        assert time.monotonic() - started < 20


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_timeout(server: HttpServer, timeout: float) -> None:
    with pytest.raises(UsageError, match="timeout"):
        fetch(server.url(NAME), quiet=True, timeout=timeout)
    assert server.requests == []


# Statuses and redirects


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


# Proxies and the network


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


def closed_server() -> HttpServer:
    server = HttpServer()
    server.close()
    return server


def test_a_refused_connection_is_told_at_once() -> None:
    started = time.monotonic()
    assert refusal(closed_server().url(NAME)) == "cannot be reached: connection refused"
    assert time.monotonic() - started < 20


def test_a_host_that_does_not_exist() -> None:
    started = time.monotonic()
    assert "host" in refusal(f"http://no-such-host.invalid/{NAME}")
    assert time.monotonic() - started < 25


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


# The cache


def test_a_new_etag_is_downloaded_anew(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY)
    assert get(server) == get(server) == BODY
    assert server.count("GET") == 1
    server.pages[NAME] = File(BODY[::-1], etag='"2"')
    assert get(server) == BODY[::-1]
    assert server.count("GET") == 2


def test_without_etag_a_newer_date_or_another_size_is_downloaded_anew(server: HttpServer) -> None:
    past, future = formatdate(1e9, usegmt=True), formatdate(time.time() + 3600, usegmt=True)
    server.pages[NAME] = File(BODY, etag=None, last_modified=past)
    assert get(server) == get(server) == BODY
    assert server.count("GET") == 1
    server.pages[NAME] = File(BODY[::-1], etag=None, last_modified=future)
    assert get(server) == BODY[::-1]
    server.pages[NAME] = File(BODY[:-1], etag=None)
    assert get(server) == BODY[:-1]


def test_the_scheme_may_be_in_capitals(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY, cuts=[100_000])
    assert fetch(server.url(NAME).replace("http", "HTTP"), quiet=True).read_bytes() == BODY


def test_the_client_of_cached_path_is_put_back(server: HttpServer) -> None:
    from cached_path.schemes import HttpClient, get_scheme_client

    server.pages[NAME] = File(BODY)
    get(server)
    for scheme in ("http", "https"):
        assert type(get_scheme_client(f"{scheme}://a/b")) is HttpClient


def test_threads_do_not_mix_their_downloads(server: HttpServer) -> None:
    from cached_path.schemes import HttpClient, get_scheme_client

    class Slow(File):
        def __call__(self, exchange: Exchange) -> None:
            time.sleep(0.05)
            super().__call__(exchange)

    names = [f"{number}.th" for number in range(6)]
    for number, name in enumerate(names):
        server.pages[name] = Slow(BODY[number:], etag=f'"{number}"')
    found: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda name=name: found.update({name: get(server, name)}))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: BODY[number:] for number, name in enumerate(names)}
    assert type(get_scheme_client("http://a/b")) is HttpClient


FETCH = """
import signal, sys
from allennlp_analyze.sources.download.cache import fetch
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, signal.default_int_handler)
print(fetch(sys.argv[1], quiet=True))
"""


def start(url: str, program: str = FETCH) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_download_once(server: HttpServer) -> None:
    together = threading.Barrier(2)

    def head(exchange: Exchange) -> None:
        together.wait(60)  # neither goes on before both have come
        File(BODY)(exchange)

    def slow(exchange: Exchange) -> None:
        time.sleep(0.3)
        File(BODY)(exchange)

    server.pages[NAME] = by_method(head, slow)
    both = [start(server.url(NAME)), start(server.url(NAME))]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    (path,) = {Path(stdout.strip()) for stdout, _ in outputs}
    assert path.read_bytes() == BODY
    assert server.count("GET") == 1


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["int", "term", "kill"]
)
def test_an_interrupted_download_leaves_nothing(server: HttpServer, number: signal.Signals) -> None:
    begun = threading.Event()

    def half(exchange: Exchange) -> None:
        exchange.send(200, {"Content-Length": 2 * len(BODY)}, BODY)
        begun.set()
        exchange.stall()

    server.pages[NAME] = by_method(File(BODY), half)
    process = start(server.url(NAME))
    assert begun.wait(60)
    time.sleep(0.2)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    if number != signal.SIGKILL:
        assert cached() == []
        return
    (left,) = cached()
    server.pages[NAME] = File(BODY)
    get(server)
    assert left in cached()  # it might be in use
    os.utime(cache_directory() / left, (1e9, 1e9))
    get(server)
    assert left not in cached()


def test_only_stale_temporaries_are_swept(server: HttpServer) -> None:
    cache_directory().mkdir(parents=True)
    names = ["tmpabcd_123.tmp", "tmpabcd_124.tmp", "notes.tmp", "tmpabcd_125.tmp.json"]
    for name in names:
        (cache_directory() / name).write_bytes(b"")
        if name != names[1]:
            os.utime(cache_directory() / name, (1e9, 1e9))
    (cache_directory() / "tmpabcd_126.tmp").mkdir()
    os.utime(cache_directory() / "tmpabcd_126.tmp", (1e9, 1e9))
    server.pages[NAME] = File(BODY)
    get(server)
    assert {n for n in cached() if "tmp" in n} == {*names[1:], "tmpabcd_126.tmp"}


def assert_names_the_cache(line: str, reason: int) -> None:
    assert line.startswith(f"cannot be written to the cache {cache_directory()} (")
    assert os.strerror(reason) in line
    assert "ALLENNLP_CACHE_ROOT" in line


LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from allennlp_analyze.errors import SourceError
try:
    exec({FETCH!r})
except SourceError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_is_told_with_the_cache(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY)
    output, errors = start(server.url(NAME), LIMITED).communicate(timeout=60)
    prefix = f"{server.url(NAME)}: "
    assert output.startswith(prefix), errors
    assert output.count("\n") == 1
    assert_names_the_cache(output[len(prefix) :], errno.EFBIG)
    assert cached() == []


def test_a_full_disk_is_told_with_the_cache(
    server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    try:
        subprocess.run(mounting, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted here: it takes root and the right to mount")
    try:
        monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(disk))
        server.pages[NAME] = File(BODY)
        assert_names_the_cache(refusal(server.url(NAME)), errno.ENOSPC)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_cache_that_cannot_be_written(
    server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path / "file" / "below"))
    server.pages[NAME] = File(BODY)
    assert_names_the_cache(refusal(server.url(NAME)), errno.ENOTDIR)
    assert server.count("GET") == 0


# The digest


def test_the_right_digest(server: HttpServer, tmp_path: Path) -> None:
    content = archive()
    server.pages[NAME] = File(content)
    (tmp_path / "local.tar.gz").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    for name in (server.url(NAME), str(tmp_path / "local.tar.gz")):
        for spelt in (expected, expected.upper()):
            with open_source(name, sha256=spelt) as source:
                assert source.sha256 == expected
    assert server.count("GET") == 1


def test_the_wrong_digest(server: HttpServer, tmp_path: Path) -> None:
    content = gzip.compress(b"not even a tar")
    server.pages[NAME] = File(content)
    (tmp_path / "local.tar.gz").write_bytes(content)
    found, wrong = hashlib.sha256(content).hexdigest(), "0" * 64
    for name in (server.url(NAME), str(tmp_path / "local.tar.gz")):
        line = f"{name}: has the SHA-256 digest {found}; expected {wrong}"
        # Weights elsewhere are not even asked for.
        weights = server.url("other.th")
        with (
            pytest.raises(SourceError, match=re.escape(line)),
            open_source(name, weights, sha256=wrong),
        ):
            pass
    assert cached() == []
    assert (tmp_path / "local.tar.gz").exists()
    assert {request.path for request in server.requests} == {NAME}


@pytest.mark.parametrize("sha256", ["", "abc", "g" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
def test_a_malformed_digest(server: HttpServer, sha256: str) -> None:
    with pytest.raises(UsageError, match="SHA-256"), open_source(server.url(NAME), sha256=sha256):
        pass
    assert server.requests == []


def test_a_directory_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="directory"), open_source(str(tmp_path), sha256="0" * 64):
        pass


# The progress bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_shows_the_size_and_the_rate(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    server.pages[NAME] = File(BODY)
    fetch(server.url(NAME), quiet=quiet)
    shown = re.search(r"model\.tar\.gz: .*/293k \[.*B/s\]", terminal.getvalue())
    assert (shown is None) if quiet else shown
    assert quiet is (terminal.getvalue() == "")
    assert sys.stdout.getvalue() == ""


def test_nothing_is_shown_where_there_is_no_terminal(
    server: HttpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.pages[NAME] = File(BODY)
    fetch(server.url(NAME), quiet=False)
    assert capsys.readouterr() == ("", "")
