"""The command on a URL: downloaded once by every front door; one line where nothing is."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.commands import SMALL, read_report, run_module

run = partial(run_module, "allennlp_analyze")


class Counting(http.server.SimpleHTTPRequestHandler):
    gets: ClassVar["list[str]"] = []

    def do_GET(self) -> None:
        self.gets.append(self.path)
        super().do_GET()

    def end_headers(self) -> None:
        # cached_path names what it keeps by URL and ETag.
        self.send_header("ETag", '"1"')
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "ner-small.tar.gz").write_bytes(SMALL.read_bytes())
    Counting.gets.clear()
    handler = partial(Counting, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def front_doors() -> "list[list[str]]":
    """Twice the command, or AllenNLP's subcommand after it."""
    doors = [["allennlp_analyze"]] * 2
    try:
        metadata.version("allennlp")
    except metadata.PackageNotFoundError:
        return doors
    return [doors[0], ["allennlp", "analyze"]]


def test_url_is_downloaded_once(server: str, tmp_path: Path) -> None:
    cache = {"ALLENNLP_CACHE_ROOT": str(tmp_path / "cache")}
    options = ["--table", "2018", "--no-plots"]
    for attempt, door in zip(("first", "second"), front_doors()):
        out = ["--output-dir", str(tmp_path / attempt)]
        done = run_module(*door, f"{server}/ner-small.tar.gz", *options, *out, **cache)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 17
    assert Counting.gets == ["/ner-small.tar.gz"]
    source = read_report(tmp_path / "second")["source"]
    assert source["archive"] == f"{server}/ner-small.tar.gz"  # type: ignore[index]


def test_missing_url_is_one_line(server: str, tmp_path: Path) -> None:
    done = run(
        f"{server}/nothing.tar.gz", cwd=tmp_path, ALLENNLP_CACHE_ROOT=str(tmp_path / "cache")
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "nothing.tar.gz" in done.stderr
    assert "not found" in done.stderr
