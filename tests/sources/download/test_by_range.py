"""Models by URL of which only the header and the bytes in question are fetched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

import allennlp_analyze
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import SourceError
from allennlp_analyze.matrices.vectors import NOT_FETCHED
from allennlp_analyze.sources.download.remote_file import FIRST_BYTES
from allennlp_analyze.sources.opening import open_source
from tests.support.downloads import cached
from tests.support.gguf_files import F32, Q8_0, array, gguf, text
from tests.support.http_server import Exchange, File, HttpServer, Page, first, refusing
from tests.support.hub_server import HubServer, Opener

NAME = "model.safetensors"


def tensors(blocks: int = 4, size: int = 400, seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    for i in range(blocks):
        found[f"layers.{i}.linear.weight"] = rng.normal(size=(size, size)).astype(np.float32)
        found[f"layers.{i}.linear.bias"] = rng.normal(size=size).astype(np.float32)
        found[f"layers.{i}.norm.weight"] = np.ones(size, np.float32)
        found[f"layers.{i}.norm.bias"] = np.zeros(size, np.float32)
    return found


BODY = save(tensors())
MATRIX = 4 * 400 * 400


class OnDisk:
    """A page that sends parts of a file on disk, which may be sparse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, exchange: Exchange) -> None:
        size = self.path.stat().st_size
        start, _, stop = exchange.headers["Range"][len("bytes=") :].partition("-")
        with self.path.open("rb") as file:
            file.seek(int(start))
            body = file.read(int(stop) + 1 - int(start))
        place = f"bytes {start}-{int(start) + len(body) - 1}/{size}"
        exchange.send(206, {"ETag": '"disk"', "Content-Range": place}, body)


def assert_same(url: str, path: Path, **choices: Any) -> None:
    """The reports of a URL and of the same file on disk are equal, bit for bit."""
    read, local = (allennlp_analyze.analyze(str(x), **choices) for x in (url, path))
    assert read.to_dict()["layers"] == local.to_dict()["layers"]
    assert read.to_dict()["skipped"] == local.to_dict()["skipped"]
    for one, other in zip(read.layers, local.layers):
        assert one.singular_values.tobytes() == other.singular_values.tobytes()


def test_a_model_is_read_without_being_downloaded(server: HttpServer, tmp_path: Path) -> None:
    server.pages[NAME] = File(BODY)
    (tmp_path / NAME).write_bytes(BODY)
    assert_same(server.url(NAME), tmp_path / NAME)
    assert cached() == []
    assert server.sent_bytes <= len(BODY) + FIRST_BYTES
    assert server.count("GET") <= 1 + 4 and server.count("HEAD") == 0


def test_one_layer_of_400_mb_costs_its_bytes_and_the_header(
    server: HttpServer, tmp_path: Path
) -> None:
    rows, columns, count = 2048, 256, 200
    nbytes = 4 * rows * columns
    entries = {
        f"layers.{i}.linear.weight": {
            "dtype": "F32",
            "shape": [rows, columns],
            "data_offsets": [i * nbytes, (i + 1) * nbytes],
        }
        for i in range(count)
    }
    header = json.dumps(entries).encode()
    path = tmp_path / NAME
    values = np.random.default_rng(5).normal(size=(rows, columns)).astype(np.float32)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + count * nbytes)
        file.seek(8 + len(header) + 7 * nbytes)
        file.write(values.tobytes())
    assert path.stat().st_size > 400_000_000
    server.pages[NAME] = OnDisk(path)
    report = allennlp_analyze.analyze(server.url(NAME), layers=r"layers\.7\.")
    (layer,) = report.layers
    expected = np.linalg.svd(values.astype(np.float64), compute_uv=False)
    assert np.allclose(layer.singular_values, expected, rtol=1e-7, atol=1e-7 * expected[0])
    assert server.sent_bytes <= nbytes + FIRST_BYTES
    assert server.count("GET") == 2


def test_a_selection_says_which_vectors_were_not_fetched(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY)
    report = allennlp_analyze.analyze(server.url(NAME), layers=r"layers\.2\.")
    reasons = {x["parameter"]: x["reason"] for x in report.to_dict()["skipped"]}
    assert reasons["layers.2.linear.bias"] == "bias"
    assert reasons["layers.1.linear.bias"] == f"bias; {NOT_FETCHED}"
    assert MATRIX <= server.sent_bytes <= MATRIX + 4 * 400 + FIRST_BYTES


def test_a_vector_of_nan_is_found_by_its_bytes(server: HttpServer, tmp_path: Path) -> None:
    found = tensors(2)
    found["layers.1.linear.bias"][7] = np.nan
    save_file(found, tmp_path / NAME)
    server.pages[NAME] = File((tmp_path / NAME).read_bytes())
    assert_same(server.url(NAME), tmp_path / NAME)


def test_the_cache_is_used_if_asked_for(server: HttpServer, tmp_path: Path) -> None:
    server.pages[NAME] = File(BODY)
    (tmp_path / NAME).write_bytes(BODY)
    assert_same(server.url(NAME), tmp_path / NAME, cache=True)
    assert len(cached()) == 2  # with its description
    assert server.sent_bytes == len(BODY)
    assert_same(server.url(NAME), tmp_path / NAME)  # finds the copy
    assert server.sent_bytes <= len(BODY) + FIRST_BYTES
    server.pages[NAME] = File(BODY[:-4] + b"1234", etag='"2"')
    with open_source(server.url(NAME)) as source:  # the copy is outdated
        assert source.sha256 is None and source.weights_file == server.url(NAME)


def test_a_checksum_needs_the_whole_file(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY)
    with pytest.raises(SourceError, match="has the SHA-256 digest"):
        allennlp_analyze.analyze(server.url(NAME), sha256="0" * 64)
    assert server.sent_bytes == len(BODY)


@pytest.mark.parametrize("page", [File(BODY, ranges=False), File(BODY, etag=None)])
def test_other_servers_are_downloaded_from(server: HttpServer, page: Page, tmp_path: Path) -> None:
    server.pages[NAME] = page
    (tmp_path / NAME).write_bytes(BODY)
    assert_same(server.url(NAME), tmp_path / NAME)
    assert len(cached()) == 2


def test_a_page_in_place_of_weights_is_said(server: HttpServer) -> None:
    server.pages[NAME] = File(b"<!doctype html><html>log in" + b" " * 600)
    with pytest.raises(SourceError, match="HTML"):
        allennlp_analyze.analyze(server.url(NAME))


def test_a_truncated_file_is_said(server: HttpServer) -> None:
    server.pages[NAME] = File(BODY[:-100])
    with pytest.raises(SourceError, match="is not a valid safetensors file"):
        allennlp_analyze.analyze(server.url(NAME))
    assert server.sent_bytes <= FIRST_BYTES


def test_an_index_brings_its_shards(server: HttpServer, tmp_path: Path) -> None:
    parts = {"a-00001-of-00002.safetensors": {}, "a-00002-of-00002.safetensors": {}}
    for i, (name, values) in enumerate(tensors().items()):
        list(parts.values())[i % 2][name] = values
    for name, held in parts.items():
        save_file(held, tmp_path / name)
        server.pages[f"d/{name}?download=true"] = File((tmp_path / name).read_bytes(), f'"{name}"')
    places = {tensor: name for name, held in parts.items() for tensor in held}
    index = json.dumps({"weight_map": places})
    (tmp_path / "a.safetensors.index.json").write_text(index)
    server.pages["d/a.safetensors.index.json?download=true"] = File(index.encode())
    url = server.url("d/a.safetensors.index.json?download=true")
    assert_same(url, tmp_path / "a.safetensors.index.json")
    assert len(cached()) == 2  # the index alone
    server.sent_bytes = 0
    assert_same(url, tmp_path / "a.safetensors.index.json", cache=True)
    assert len(cached()) == 6


BLOCKS = np.random.default_rng(7).integers(0, 256, (64 * 64 // 32, 34), np.uint8)
BLOCKS[:, 1] = 0x20  # scales of about 0.01


def gguf_file(vocabulary: int = 0, **values: Any) -> bytes:
    floats = np.random.default_rng(8).normal(size=(64, 64)).astype(np.float32)
    words = b"".join(text(f"token{i}") for i in range(vocabulary))
    return gguf(
        [array("tokenizer.ggml.tokens", 8, vocabulary, words), *values.get("values", ())],
        [
            ("blk.0.attn_q.weight", (64, 64), F32, floats.tobytes()),
            ("blk.0.ffn_up.weight", (64, 64), Q8_0, BLOCKS.tobytes()),
        ],
    )


@pytest.mark.parametrize("vocabulary", [0, 30_000])
def test_gguf_is_read_by_its_parts(server: HttpServer, tmp_path: Path, vocabulary: int) -> None:
    body = gguf_file(vocabulary)
    server.pages["m.gguf"] = File(body)
    (tmp_path / "m.gguf").write_bytes(body)
    assert_same(server.url("m.gguf"), tmp_path / "m.gguf")
    assert cached() == []


def test_a_file_that_changes_during_the_analysis_is_refused(server: HttpServer) -> None:
    server.pages[NAME] = first([File(BODY)], File(BODY, etag='"2"'))
    with pytest.raises(SourceError, match="has changed while it was read; run again"):
        allennlp_analyze.analyze(server.url(NAME))


def test_a_lost_server_keeps_what_is_done(
    server: HttpServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = save(tensors(size=600))  # each layer is a part of its own
    whole = File(body)
    # The header, and the parts of two of the four layers.
    server.pages[NAME] = first([whole] * 3, refusing(503))
    command = [server.url(NAME), "--output-dir", str(tmp_path / "out"), "--jobs", "1", "--no-plots"]
    assert main(command) == 1
    line = capsys.readouterr().err.strip()
    assert "the server refused the request (status 503)" in line
    assert "done and kept in" in line and "--resume" in line and "\n" not in line
    server.pages[NAME] = whole
    server.sent_bytes = 0
    assert main([*command, "--resume"]) == 0
    assert server.sent_bytes < len(body)


def test_another_version_is_not_resumed(server: HttpServer, tmp_path: Path) -> None:
    body = save(tensors(size=600))
    server.pages[NAME] = first([File(body)] * 3, refusing(503))
    command = [server.url(NAME), "--output-dir", str(tmp_path / "out"), "--jobs", "1", "--no-plots"]
    assert main(command) == 1
    server.pages[NAME] = File(body, etag='"2"')
    assert main([*command, "--resume"]) == 1  # the journal is that of another file
    assert main([*command, "--resume", "--force"]) == 0


def test_no_secret_of_the_url_is_in_the_reports(server: HttpServer, tmp_path: Path) -> None:
    server.pages[f"{NAME}?token=hush"] = File(BODY)
    url = server.url(f"{NAME}?token=hush")
    assert main([url, "--output-dir", str(tmp_path / "out"), "--no-plots"]) == 0
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or b"hush" not in path.read_bytes()


def test_weights_beside_an_archive_may_be_a_url(server: HttpServer, tmp_path: Path) -> None:
    server.pages[NAME] = File(BODY)
    (tmp_path / "config.json").write_text("{}")
    save_file({"w": np.eye(3, dtype=np.float32)}, tmp_path / NAME)
    with open_source(str(tmp_path), server.url(NAME)) as source:
        assert source.weights_file == server.url(NAME)
        for name, values in tensors().items():
            assert np.array_equal(source.tensors[name].values(), values)
    assert cached() == []


def test_a_server_that_is_away_leaves_the_copy(
    server: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.pages[NAME] = refusing(503)
    with pytest.raises(SourceError) as caught:
        allennlp_analyze.analyze(server.url(NAME))
    assert str(caught.value) == f"{server.url(NAME)}: the server refused the request (status 503)"
    server.pages[NAME] = File(BODY)
    allennlp_analyze.analyze(server.url(NAME), cache=True)
    server.pages[NAME] = refusing(503)
    assert len(allennlp_analyze.analyze(server.url(NAME)).layers) == 4
    assert "using the copy in the cache" in caplog.text


@pytest.mark.parametrize("total", [2**62 // 10, 10**17])
def test_an_impossible_length_is_one_line(server: HttpServer, total: int) -> None:
    head = BODY[:FIRST_BYTES]
    place = f"bytes 0-{len(head) - 1}/{total}"
    server.pages[NAME] = lambda exchange: exchange.send(
        206, {"ETag": '"1"', "Content-Range": place}, head
    )
    with pytest.raises(SourceError) as caught:
        allennlp_analyze.analyze(server.url(NAME))
    assert "\n" not in str(caught.value)


def test_a_header_of_any_length_is_bounded(server: HttpServer) -> None:
    body = (2**40).to_bytes(8, "little") + b"{" + bytes(300)
    server.pages[NAME] = File(body)
    with pytest.raises(SourceError, match="is not a valid safetensors file"):
        allennlp_analyze.analyze(server.url(NAME))
    assert server.sent_bytes <= FIRST_BYTES


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[HubServer, Opener]]:
    pytest.importorskip("huggingface_hub")
    server = HubServer()
    opener = Opener(server, tmp_path / "hub", HF_TOKEN="hf_secret")
    yield server, opener
    opener.close()
    server.close()


@pytest.mark.newest_python
def test_repositories_are_read_by_their_parts(
    hub: tuple[HubServer, Opener], tmp_path: Path
) -> None:
    server, opener = hub
    server.repositories["org/name"] = {NAME: BODY, "config.json": b'{"model_type": "bert"}'}
    for url in ("hf://org/name", f"hf://org/name/{NAME}"):
        found = opener(url)
        sums = {name: float(values.sum()) for name, values in tensors().items()}
        assert found["sums"] == pytest.approx(sums)
        assert "hf_secret" not in json.dumps(found)
    kept = [x.name for x in (tmp_path / "hub").rglob("*") if x.is_file() and x.stat().st_size > 999]
    assert kept == []
    assert all(
        request.headers.get("Authorization") is None
        for request in server.requests
        if request.path.startswith("cdn/")
    )
    assert opener("hf://org/name", cache=True)["sums"] == found["sums"]
    server.requests.clear()
    assert opener("hf://org/name")["sums"] == found["sums"]  # the copy of this commit
    assert not [x for x in server.sent("GET") if x.path.startswith("cdn/")]
