"""Files that the real libraries wrote, read by their parts from a server."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from allennlp_analyze.sources.opening import open_source
from tests.support.downloads import cached, isolate
from tests.support.http_server import File, HttpServer


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def test_a_file_of_gguf_is_the_same_by_url(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_block_count(1)
    writer.add_token_list([f"token{i}" for i in range(20_000)])
    values = np.random.default_rng(0).normal(size=(256, 512)).astype(np.float32)
    kinds = gguf.GGMLQuantizationType
    for name, kind in (("q", kinds.Q8_0), ("k", kinds.Q4_0), ("v", kinds.F16)):
        stored = gguf.quants.quantize(values, kind)
        writer.add_tensor(f"blk.0.attn_{name}.weight", stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    server = HttpServer()
    server.pages["m.gguf"] = File((tmp_path / "m.gguf").read_bytes())
    with open_source(server.url("m.gguf")) as remote, open_source(str(tmp_path / "m.gguf")) as own:
        assert list(remote.tensors) == list(own.tensors)
        assert remote.config == own.config
        for name, tensor in own.tensors.items():
            assert tensor.remote == () and len(remote.tensors[name].remote) == 1
            assert np.array_equal(remote.tensors[name].values(), tensor.values())
            read = gguf.GGUFReader(tmp_path / "m.gguf").get_tensor(list(own.tensors).index(name))
            expected = gguf.quants.dequantize(read.data, read.tensor_type)
            assert np.array_equal(tensor.values(), expected)
    assert cached() == []
    server.close()


def test_every_type_of_safetensors_is_the_same_by_url(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    types = (np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_)
    tensors = {
        f"{kind.__name__}.{i}": rng.normal(scale=50, size=(200 * i + 3, 301)).astype(kind)
        for kind in types
        for i in range(3)
    }
    save_file(tensors, tmp_path / "m.safetensors")
    server = HttpServer()
    server.pages["m.safetensors"] = File((tmp_path / "m.safetensors").read_bytes())
    expected = load_file(tmp_path / "m.safetensors")
    with open_source(server.url("m.safetensors")) as source:
        for name in reversed(list(source.tensors)):
            read = source.tensors[name].values()
            assert read.dtype == expected[name].dtype
            assert read.tobytes() == expected[name].tobytes()
    server.close()
