"""Parts of two versions are never joined, whatever a server says about the part that it sends."""

import threading
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.download import failures as http_errors
from allennlp_analyze.sources.download.cache import fetch
from tests.support.downloads import BODY, NAME, cached, get, refusal
from tests.support.http_server import Exchange, HttpServer, Page, by_method, first
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.newest_python

OLD, NEW = BODY, BODY[::-1]
DATE, LATER = formatdate(1e9, usegmt=True), formatdate(1e9 + 1, usegmt=True)
Names = Mapping[str, Optional[str]]


def ignoring(body: bytes, names: Names, cut: Optional[int] = None) -> Page:
    """A page of a server that looks at Range but not at If-Range."""

    def page(exchange: Exchange) -> None:
        asked = exchange.headers.get("Range")
        if asked is None:
            exchange.send(200, dict(names), body, cut)
            return
        start, end = int(asked[len("bytes=") :].rstrip("-")), len(body)
        part: dict[str, object] = {"Content-Range": f"bytes {start}-{end - 1}/{end}"}
        exchange.send(206, {**part, **names}, body[start:], cut)

    return page


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"Last-Modified": DATE}, {"Last-Modified": LATER}),
        ({"Last-Modified": DATE}, {}),
        ({"Last-Modified": DATE}, {"Last-Modified": DATE, "ETag": '"1"'}),
        ({"ETag": '"1"'}, {"ETag": '"2"'}),
        ({"ETag": '"1"'}, {"ETag": 'W/"1"'}),
        ({"ETag": '"1"'}, {}),
        ({"ETag": '"1"', "Last-Modified": DATE}, {"Last-Modified": DATE}),
        ({"ETag": '"1"', "Last-Modified": DATE}, {"ETag": '"1"', "Last-Modified": LATER}),
        ({"ETag": '"1"'}, {"ETag": '"1"', "Content-Encoding": "gzip"}),
        ({"ETag": '"1"'}, {"ETag": '"1"', "Content-Range": "bytes 100000-299999/400000"}),
        ({"ETag": '"1"'}, {"ETag": '"1"', "Content-Range": "bytes 100001-299999/300000"}),
        ({"ETag": '"1"'}, {"ETag": '"1"', "Content-Range": "bytes 100000-300000/300000"}),
        ({"ETag": '"1"'}, {"ETag": '"1"', "Content-Range": "bytes 100000-299999/*"}),
        ({"ETag": '"1"'}, {"ETag": '"1"', "Content-Range": None}),
        ({"ETag": '"1"'}, {"ETag": '"1"', "Content-Range": "bytes=100000-299999"}),
    ],
)
def test_a_part_that_may_be_of_another_version_is_thrown_away(
    server: HttpServer, before: Names, after: Names
) -> None:
    pages = [ignoring(OLD, before, cut=100_000), ignoring(NEW, after)]
    server.pages[NAME] = by_method(ignoring(OLD, before), first(pages, ignoring(NEW, after)))
    assert get(server) == NEW
    asked = [r.headers.get("Range") for r in server.sent("GET")]
    assert asked[:2] == [None, "bytes=100000-"]
    assert set(asked[2:]) == {None}
    assert len(cached()) == 2


def test_a_date_may_be_left_out_beside_an_etag(server: HttpServer) -> None:
    whole = ignoring(OLD, {"ETag": '"1"', "Last-Modified": DATE}, cut=100_000)
    server.pages[NAME] = by_method(whole, first([whole], ignoring(OLD, {"ETag": '"1"'})))
    assert get(server) == OLD
    assert server.count("GET") == 2


def test_a_date_of_this_second_may_stand_for_two_versions(server: HttpServer) -> None:
    """A file that was written in this second may be written again in it, with the same date."""
    now = {"Last-Modified": formatdate(time.time() + 1, usegmt=True)}
    pages = [ignoring(OLD, now, cut=100_000)]
    server.pages[NAME] = by_method(ignoring(OLD, now), first(pages, ignoring(NEW, now)))
    assert get(server) == NEW
    assert [r.headers.get("Range") for r in server.sent("GET")] == [None, None]


def test_a_server_that_always_changes_is_given_up(server: HttpServer) -> None:
    count = iter(range(1000))

    def page(exchange: Exchange) -> None:
        ignoring(OLD, {"ETag": f'"{next(count)}"'}, cut=100_000)(exchange)

    server.pages[NAME] = page
    assert refusal(server.url(NAME)).endswith(("declared", "(status 206)"))
    # The file is begun anew once more after the question, as always.
    assert server.count("GET") <= 2 * http_errors.ATTEMPTS


def test_the_length_of_a_part_is_the_length_of_the_file(server: HttpServer) -> None:
    """Chunks declare no length: the first part of a cut answer gets it from the next one."""
    names = {"ETag": '"1"', "Content-Length": None, "Transfer-Encoding": "chunked"}

    def chunks(exchange: Exchange) -> None:
        exchange.send(200, dict(names), b"186a0\r\n" + OLD[:100_000] + b"\r\n", cut=200_000)

    part = ignoring(OLD, {"ETag": '"1"'}, cut=150_000)
    pages = [chunks, part, ignoring(OLD, {"ETag": '"1"'})]
    server.pages[NAME] = by_method(ignoring(OLD, {"ETag": '"1"'}), first(pages, part))
    assert get(server) == OLD
    asked = [r.headers.get("Range") for r in server.sent("GET")]
    assert asked == [None, "bytes=100000-", "bytes=250000-"]


def versions() -> st.SearchStrategy[list[tuple[int, Optional[int], bool]]]:
    """For each request: which of three versions, cut where, and whether it tells them apart."""
    cut = st.one_of(st.none(), st.integers(0, 2000))
    return st.lists(st.tuples(st.integers(0, 2), cut, st.booleans()), max_size=8)


@given(versions(), st.sampled_from(["ETag", "Last-Modified", "both"]))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_one_version_arrives_whatever_the_server_does(
    server: HttpServer,
    tmp_path: Path,
    answers: list[tuple[int, Optional[int], bool]],
    kind: str,
) -> None:
    bodies = [bytes([letter]) * 2000 for letter in b"abc"]

    def page(which: int, cut: Optional[int], tells: bool) -> Page:
        etag, date = f'"{which}"', formatdate(1e9 + which, usegmt=True)
        named = {"ETag": etag} if kind == "ETag" else {"Last-Modified": date}
        named = {"ETag": etag, "Last-Modified": date} if kind == "both" else named
        return ignoring(bodies[which], named if tells else {}, cut)

    name = f"{len(server.requests)}.th"
    pages = [page(*answer) for answer in answers]
    server.pages[name] = by_method(page(2, None, True), first(pages, page(2, None, True)))
    try:
        path = fetch(server.url(name), quiet=True, timeout=PATIENCE)
    except SourceError:
        return
    assert path.read_bytes() in bodies


def test_downloads_at_once_get_one_version_each(server: HttpServer) -> None:
    """Two threads share the cache's name; the file changes between the parts of the first."""
    old = ignoring(OLD, {"Last-Modified": DATE}, cut=100_000)
    new = ignoring(NEW, {"Last-Modified": LATER})
    server.pages[NAME] = by_method(new, first([old, new], new))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(get(server))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [NEW] * 4
