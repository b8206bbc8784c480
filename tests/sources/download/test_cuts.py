"""Downloads that are cut or of a wrong length: resumed, begun anew, or refused and not cached."""

import re
from email.utils import formatdate
from typing import Optional

import numpy as np
import pytest
from safetensors.numpy import save as save_safetensors

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.download import failures as http_errors
from allennlp_analyze.sources.download import http as http_client
from allennlp_analyze.sources.download.cache import fetch
from allennlp_analyze.sources.opening import open_source
from tests.support.downloads import (
    BODY,
    NAME,
    archive,
    cached,
    digest,
    get,
    legacy_weights,
    refusal,
    zipped_weights,
)
from tests.support.http_server import Exchange, File, HttpServer, by_method, first


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
