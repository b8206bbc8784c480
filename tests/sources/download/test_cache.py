"""Downloads from a real server on the loopback interface, through AllenNLP's cache."""

import gzip
import io
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.sources.download import failures as http_errors
from allennlp_analyze.sources.download.cache import cache_directory, evict, fetch
from allennlp_analyze.sources.opening import open_source


class Server:
    """Serves `files` with an ETag; `statuses` overrides the answer of a path. Counts requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.requests: Counter[str] = Counter()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/{path}"

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                name = self.path.lstrip("/")
                server.requests[f"{self.command} {name}"] += 1
                content = server.files.get(name, b"")
                self.send_response(server.statuses.get(name, 200 if content else 404))
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", '"1"')
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path / "cache-root"))
    monkeypatch.setattr(http_errors, "BACKOFF", 0.01)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def archive() -> bytes:
    weights = io.BytesIO()
    torch.save({"w": torch.eye(3)}, weights)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in (("config.json", b"{}"), ("weights.th", weights.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def test_a_second_run_uses_the_cache(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.files["model.tar.gz"] = archive()
    for quiet in (False, True):
        with open_source(server.url("model.tar.gz"), quiet=quiet) as source:
            assert torch.equal(torch.tensor(source.tensors["w"].values()), torch.eye(3))
            assert Path(source.resolved).parent == cache_directory()
    assert server.requests["GET model.tar.gz"] == 1
    assert capsys.readouterr().out == ""


def test_the_cache_is_the_one_of_allennlp(server: Server, tmp_path: Path) -> None:
    file_utils = pytest.importorskip("allennlp.common.file_utils")
    server.files["model.tar.gz"] = archive()
    path = fetch(server.url("model.tar.gz"), quiet=True)
    theirs = file_utils.cached_path(
        server.url("model.tar.gz"), cache_dir=tmp_path / "cache-root/cache"
    )
    assert Path(theirs) == path
    assert server.requests["GET model.tar.gz"] == 1


def test_a_bare_weights_file_without_suffix_in_the_cache(server: Server) -> None:
    weights = io.BytesIO()
    torch.save({"w": torch.eye(3)}, weights)
    server.files["weights.th"] = weights.getvalue()
    with open_source(server.url("weights.th")) as source:
        assert list(source.tensors) == ["w"]


@pytest.mark.parametrize(
    "bad",
    [archive()[:-6], archive()[:300], b"<html>moved</html>", gzip.compress(b"x")],
    ids=["no checksum", "cut", "html", "no tar"],
)
def test_a_damaged_download_is_evicted(server: Server, bad: bytes) -> None:
    server.files["model.tar.gz"] = bad
    with (
        pytest.raises(SourceError, match=r"model\.tar\.gz"),
        open_source(server.url("model.tar.gz")),
    ):
        pass
    assert [p.name for p in cache_directory().iterdir() if p.suffix != ".lock"] == []
    server.files["model.tar.gz"] = archive()
    with open_source(server.url("model.tar.gz")) as source:
        assert list(source.tensors) == ["w"]
    assert server.requests["GET model.tar.gz"] == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "not found"), (403, "access denied"), (401, "access denied"), (500, "status 500")],
)
def test_refusals_in_one_line(server: Server, status: int, words: str) -> None:
    server.statuses["model.tar.gz"] = status
    with pytest.raises(SourceError, match=words) as caught:
        fetch(server.url("model.tar.gz"), quiet=True)
    assert server.url("model.tar.gz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_evict_leaves_what_is_not_in_the_cache(server: Server, tmp_path: Path) -> None:
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(b"x")
    evict(mine)
    assert mine.exists()


def test_local_paths(tmp_path: Path) -> None:
    assert fetch(str(tmp_path), quiet=True) == tmp_path
    for name in ("", str(tmp_path / "none"), "ftp://a/b", "file:///etc/passwd", "beaker://a/b"):
        with pytest.raises(UsageError):
            fetch(name, quiet=True)


def test_the_hub_without_network_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        SourceError, match=r"hf://no/such-model/weights\.th: cannot be reached"
    ) as caught:
        fetch("hf://no/such-model/weights.th", quiet=True)
    assert "404" not in str(caught.value)
    assert "\n" not in str(caught.value)
