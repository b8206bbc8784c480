"""Parts of a file on a server that misbehaves: right bytes, or one line that names the URL."""

import re
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Optional

import numpy as np
import pytest

from allennlp_analyze.errors import SourceError, UnreachableError
from allennlp_analyze.sources.download.ranges import Ranges
from tests.support.http_server import Exchange, File, HttpServer, Page, first, refusing

BODY = np.random.default_rng(1).bytes(300_000)
NAME = "m.safetensors"
AT = 1000


def opened(server: HttpServer, page: Page, timeout: float = 5.0) -> Ranges:
    """The file of a page, of which the first bytes were read."""
    server.pages[NAME] = page
    ranges = Ranges(server.url(NAME), timeout)
    assert ranges.open(AT) == BODY[:AT]
    return ranges


def part(ranges: Ranges, start: int = 5000, stop: int = 250_000) -> bytes:
    return b"".join(ranges.pieces(start, stop))


def refusal(ranges: Ranges, kind: type[SourceError]) -> str:
    with pytest.raises(SourceError) as caught:
        part(ranges)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert line.startswith(f"{ranges.address}: ") and "\n" not in line
    return line[len(ranges.address) + 2 :]


def test_only_what_is_asked_for_is_sent_over_one_connection(server: HttpServer) -> None:
    ports = set()
    whole = File(BODY)

    def page(exchange: Exchange) -> None:
        ports.add(exchange.client_address)
        whole(exchange)

    ranges = opened(server, page)
    assert part(ranges) == BODY[5000:250_000]
    assert part(ranges, 299_999, 300_000) == BODY[-1:]
    asked = [(r.headers.get("Range"), r.headers.get("If-Range")) for r in server.requests]
    assert asked == [
        ("bytes=0-999", None),
        ("bytes=5000-249999", '"1"'),
        ("bytes=299999-299999", '"1"'),
    ]
    assert server.sent_bytes == AT + 245_000 + 1
    assert len(ports) == 1


def test_a_short_file_is_read_whole(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY[:300])
    ranges = Ranges(server.url(NAME), 5.0)
    assert ranges.open(AT) == BODY[:300]
    assert ranges.size == 300


DATE = formatdate(1e9, usegmt=True)


def without_a_date(exchange: Exchange) -> None:
    head = BODY[:AT]
    exchange.send(206, {"Content-Range": f"bytes 0-999/{len(BODY)}"}, head)


@pytest.mark.parametrize(
    "page",
    [
        File(BODY, ranges=False),
        File(BODY, etag=None),
        File(BODY, etag='W/"1"'),
        File(BODY, headers={"Content-Encoding": "gzip"}),
        File(b""),
        lambda exchange: exchange.send(206, {"ETag": '"1"'}, BODY[:AT]),
        lambda exchange: exchange.send(
            206, {"ETag": '"1"', "Content-Range": "bytes 0-999/*"}, BODY[:AT]
        ),
        lambda exchange: exchange.send(
            206, {"ETag": '"1"', "Content-Range": "bytes 7-1006/300000"}, BODY[:AT]
        ),
    ],
    ids=["no ranges", "no validator", "weak", "encoded", "empty", "no place", "no length", "other"],
)
def test_a_server_without_parts_or_validators_is_downloaded_from(
    server: HttpServer, page: Page
) -> None:
    server.pages[NAME] = page
    assert Ranges(server.url(NAME), 5.0).open(AT) is None


def test_a_date_is_a_validator(server: HttpServer) -> None:
    ranges = opened(server, File(BODY, etag=None, last_modified=DATE))
    assert part(ranges) == BODY[5000:250_000]
    assert server.requests[-1].headers["If-Range"] == DATE


def ignoring(condition: File) -> Page:
    """A page that sends parts of another version although the client said which one it wants."""

    def page(exchange: Exchange) -> None:
        del exchange.headers["If-Range"]
        condition(exchange)

    return page


LATER = formatdate(1.1e9, usegmt=True)


@pytest.mark.parametrize(
    ("begun", "then"),
    [
        (File(BODY), File(BODY[::-1], etag='"2"')),
        (File(BODY), ignoring(File(BODY[::-1], etag='"2"'))),
        (File(BODY), ignoring(File(BODY + b"more"))),
        (File(BODY), File(BODY[:2000])),
        (
            File(BODY, etag=None, last_modified=DATE),
            ignoring(File(BODY[::-1], etag=None, last_modified=LATER)),
        ),
        (File(BODY, last_modified=DATE), ignoring(File(BODY[::-1], last_modified=LATER))),
    ],
    ids=["200", "206 of another ETag", "longer", "shorter", "date", "date beside the ETag"],
)
def test_a_file_that_changes_is_refused(server: HttpServer, begun: Page, then: Page) -> None:
    ranges = opened(server, first([begun], then))
    assert refusal(ranges, SourceError) == (
        "the file on the server has changed while it was read; run again"
    )
    assert server.count("GET") == 2  # it is not asked again


def test_a_change_between_two_attempts_is_noticed(server: HttpServer) -> None:
    pages: list[Page] = [File(BODY), File(BODY, cuts=[100_000])]
    ranges = opened(server, first(pages, ignoring(File(BODY[::-1], etag='"2"'))))
    assert "changed" in refusal(ranges, SourceError)


def cut_by(number: int) -> Callable[[Exchange], None]:
    return File(BODY, cuts=[number])


def reset(exchange: Exchange) -> None:
    exchange.close_connection = True
    exchange.connection.close()


@pytest.mark.parametrize(
    "once",
    [
        cut_by(100_000),
        cut_by(0),
        reset,
        refusing(503, Retry_After="0"),
        refusing(429),
        lambda exchange: exchange.send(
            206, {"ETag": '"1"', "Content-Range": f"bytes 7-{len(BODY) - 1}/{len(BODY)}"}, BODY[7:]
        ),
        File(BODY, ranges=False),
    ],
    ids=["short body", "no body", "reset", "503", "429", "wrong place", "the whole file"],
)
def test_a_passing_failure_is_retried(server: HttpServer, once: Page) -> None:
    ranges = opened(server, first([File(BODY), once], File(BODY)))
    assert part(ranges) == BODY[5000:250_000]


def test_what_has_arrived_is_not_fetched_again(server: HttpServer) -> None:
    ranges = opened(server, first([File(BODY), cut_by(100_000)], File(BODY)))
    assert part(ranges) == BODY[5000:250_000]
    assert server.requests[-1].headers["Range"] == "bytes=105000-249999"


def always(status: Optional[int] = None, **headers: object) -> Page:
    if status is not None:
        return refusing(status)
    return lambda exchange: exchange.send(206, {"ETag": '"1"', **headers}, BODY[:100])


@pytest.mark.parametrize(
    ("page", "kind", "words"),
    [
        (always(503), UnreachableError, r"the server refused the request \(status 503\)"),
        (always(403), SourceError, r"access denied \(status 403\)"),
        (always(404), SourceError, r"not found \(status 404\)"),
        (File(BODY, ranges=False), UnreachableError, "did not send the part asked for .*200"),
        (
            always(None, **{"Content-Range": f"bytes 0-99/{len(BODY)}"}),
            UnreachableError,
            "did not send the part asked for .*206",
        ),
        (reset, UnreachableError, "connection lost|ended before"),
    ],
)
def test_a_lasting_failure_is_one_line(
    server: HttpServer, page: Page, kind: type[SourceError], words: str
) -> None:
    ranges = opened(server, first([File(BODY)], page))
    assert re.search(words, refusal(ranges, kind))


def test_a_server_that_stalls_is_left(server: HttpServer) -> None:
    def stalling(exchange: Exchange) -> None:
        at = int(exchange.headers["Range"][len("bytes=") :].partition("-")[0])
        asked = f"bytes {at}-249999/{len(BODY)}"
        headers = {"ETag": '"1"', "Content-Range": asked, "Content-Length": 250_000 - at}
        exchange.send(206, headers, BODY[at : at + 1000])
        exchange.stall()

    ranges = opened(server, first([File(BODY)], stalling), timeout=0.3)
    started = time.monotonic()
    assert refusal(ranges, UnreachableError) == "timed out: no data from the server for 0.3 s"
    assert time.monotonic() - started < 5


def test_a_server_that_is_gone_is_said(server: HttpServer) -> None:
    ranges = opened(server, File(BODY))
    ranges.close()
    server.close()
    assert refusal(ranges, UnreachableError).startswith("cannot be reached")


def test_more_than_was_asked_for_is_refused(server: HttpServer) -> None:
    def longer(exchange: Exchange) -> None:
        headers: dict[str, object] = {"ETag": '"1"', "Content-Length": None}
        headers |= {"Content-Range": f"bytes 5000-249999/{len(BODY)}", "Connection": "close"}
        exchange.send(206, headers, BODY[5000:])
        exchange.close_connection = True

    ranges = opened(server, first([File(BODY)], longer))
    assert refusal(ranges, SourceError) == "the server sent more than the length it declared"


def test_redirects_are_followed_and_the_token_stays(server: HttpServer) -> None:
    server.pages["there"] = File(BODY)
    server.pages[NAME] = lambda exchange: exchange.send(
        302, {"Location": server.url("there", "localhost")}
    )
    ranges = Ranges(server.url(NAME), 5.0, {"Authorization": "Bearer secret"})
    assert ranges.open(AT) == BODY[:AT]
    assert part(ranges) == BODY[5000:250_000]
    sent = {request.path: request.headers.get("Authorization") for request in server.requests}
    assert sent == {NAME: "Bearer secret", "there": None}


def test_secrets_of_the_url_are_not_in_messages(server: HttpServer) -> None:
    server.pages["m?token=secret"] = first([File(BODY)], refusing(404))
    ranges = Ranges(server.url("m?token=secret"), 5.0)
    assert ranges.open(AT) is not None
    assert "secret" not in refusal(ranges, SourceError)
