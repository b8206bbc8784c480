"""What the cache keeps: by version, for threads and processes, and of a failed download."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from allennlp_analyze.sources.download.cache import cache_directory, fetch
from tests.support.downloads import BODY, NAME, cached, get, refusal
from tests.support.http_server import Exchange, File, HttpServer, by_method
from tests.support.waiting import PATIENCE, wait_until


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


def test_threads_do_not_mix_their_downloads(server: HttpServer) -> None:
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


FETCH = """
import signal, sys
from allennlp_analyze.sources.download.cache import fetch
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
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
        together.wait(PATIENCE)  # neither goes on before both have come
        File(BODY)(exchange)

    def slow(exchange: Exchange) -> None:
        time.sleep(0.3)
        File(BODY)(exchange)

    server.pages[NAME] = by_method(head, slow)
    both = [start(server.url(NAME)), start(server.url(NAME))]
    outputs = [process.communicate(timeout=PATIENCE) for process in both]
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
    assert begun.wait(PATIENCE)
    wait_until(cached, process)  # the beginning of the file
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
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
    output, errors = start(server.url(NAME), LIMITED).communicate(timeout=PATIENCE)
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
