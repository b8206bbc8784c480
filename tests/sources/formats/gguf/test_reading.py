"""A GGUF file as weights: numbers, experts, split files, and what analyses make of them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.matrices.adapters import find_adapters
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.gguf import quantized, types
from allennlp_analyze.sources.formats.gguf.reading import read_gguf
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.storage import mapped
from allennlp_analyze.zoo.manifest.scan import models_below
from tests.support.gguf_files import (
    BF16,
    F16,
    F32,
    Q8_0,
    Tensor,
    array,
    float32,
    gguf,
    string,
    uint32,
    written,
)

pytestmark = pytest.mark.newest_python
RNG = np.random.default_rng(0)
Q4_0, Q8_K, I8 = 2, 15, 24


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def q8(name: str, shape: tuple[int, ...], scales: np.ndarray, codes: np.ndarray) -> Tensor:
    blocks = np.concatenate([scales.astype("<f2")[:, None].view(np.uint8), codes.view(np.uint8)], 1)
    return name, shape, Q8_0, blocks.tobytes()


def test_plain_types_are_read_as_they_are(tmp_path: Path) -> None:
    values = normal(4, 6)
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    tensors = [
        float32("a.weight", values),
        ("h.weight", (4, 6), F16, values.astype("<f2").tobytes()),
        ("b.weight", (4, 6), BF16, upper.tobytes()),
        ("d.weight", (4, 6), 28, values.astype("<f8").tobytes()),
        ("i", (4, 6), I8, bytes(24)),
    ]
    read = read_gguf(written(tmp_path / "m", tensors), "m").tensors
    assert [t.dtype for t in read.values()] == ["float32", "float16", "bfloat16", "float64", "int8"]
    assert np.array_equal(read["a.weight"].values(), values)
    assert np.array_equal(read["h.weight"].values(), values.astype(np.float16))
    assert np.array_equal(read["b.weight"].values(), (upper.astype(np.uint32) << 16).view("<f4"))
    assert read["d.weight"].values().dtype == np.float64


def test_blocks_of_eight_bits_need_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantized, "_PIECE", 64)
    scales, codes = np.array([0.5, 0.25, 2, 1, -1, 3]), RNG.integers(-127, 128, (6, 32), np.int8)
    big = np.zeros((2, 292), np.uint8)
    big[:, :4] = np.array([[0.5], [3]], "<f4").view(np.uint8)
    big[:, 4:260] = RNG.integers(0, 256, (2, 256))
    tensors = [q8("a.weight", (3, 64), scales, codes), ("k.weight", (2, 256), Q8_K, big.tobytes())]
    read = read_gguf(written(tmp_path / "m", tensors), "m").tensors
    expected = (codes * scales.astype(np.float32)[:, None]).reshape(3, 64)
    assert read["a.weight"].values().dtype == np.float32
    assert np.array_equal(read["a.weight"].values(), expected)
    expected = big[:, 4:260].view(np.int8) * np.array([[0.5], [3]], np.float32)
    assert np.array_equal(read["k.weight"].values(), expected)


def test_large_tensors_are_dequantized_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales, codes = np.full(6, 0.5), RNG.integers(-127, 128, (6, 32), np.int8)
    path = written(tmp_path / "m", [q8("a.weight", (3, 64), scales, codes)])
    in_memory = read_gguf(path, "m").tensors["a.weight"].values()
    monkeypatch.setattr(mapped, "IN_MEMORY_BYTES", 0)
    in_file = read_gguf(path, "m").tensors["a.weight"].values()
    assert np.array_equal(in_memory, in_file)
    assert not in_file.flags.writeable and not in_memory.flags.writeable

    def full(pieces: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped, "mapped_copy", full)
    with pytest.raises(TensorError, match=r"a.weight: .*No space left"):
        read_gguf(path, "m").tensors["a.weight"].values()


def test_without_the_package_tensors_are_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    types.why_not.cache_clear()
    monkeypatch.setitem(sys.modules, "gguf", None)  # as if it were not installed
    tensors = [
        float32("blk.0.attn_k.weight", normal(64, 32)),
        ("blk.0.attn_q.weight", (64, 64), Q4_0, bytes(64 * 36)),
        ("odd.weight", (8, 8), 99, b""),
    ]
    path = written(tmp_path / "m.gguf", tensors)
    assert main([str(path), "--output-dir", str(tmp_path / "out"), "--no-plots"]) == 0
    types.why_not.cache_clear()
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert {s["parameter"]: s["reason"] for s in report["skipped"]} == {
        "blk.0.attn_q.weight": "GGUF's type Q4_0 needs the package gguf"
        " (pip install 'allennlp_analyze[gguf]')",
        "odd.weight": "GGUF's type 99 is not supported",
    }
    assert [layer["name"] for layer in report["layers"]] == ["blk.0.attn_k"]
    assert "Healthy" not in capsys.readouterr().out  # most weights were not read


def test_each_expert_is_a_layer_of_its_own(tmp_path: Path) -> None:
    up, both = normal(3, 4, 32), normal(2, 6, 5)
    scales, codes = np.arange(1.0, 13), RNG.integers(-127, 128, (12, 32), np.int8)
    tensors = [
        float32("blk.0.ffn_up_exps.weight", up),
        q8("blk.0.ffn_down_exps.weight", (3, 4, 32), scales, codes),
        float32("blk.1.ffn_gate_up_exps.weight", both),
        float32("blk.0.ffn_up_exps.bias", normal(3, 4)),
    ]
    with open_source(str(written(tmp_path / "m", tensors))) as source:
        matrices, skipped = find_matrices(source)
    down = (codes * scales.astype(np.float32)[:, None]).reshape(3, 4, 32)
    expected = {f"blk.0.ffn_up_exps.{i}": up[i] for i in range(3)}
    expected |= {f"blk.0.ffn_down_exps.{i}": down[i] for i in range(3)}
    for i in range(2):
        expected[f"blk.1.ffn_gate_up_exps.{i}.gate"] = both[i, :3]
        expected[f"blk.1.ffn_gate_up_exps.{i}.up"] = both[i, 3:]
    assert [matrix.name for matrix in matrices] == list(expected)
    for matrix in matrices:
        assert matrix.kind == "linear" and matrix.kind_source == "graph"
        assert np.array_equal(matrix.values(), expected[matrix.name])
    assert [s.reason for s in skipped] == ["bias"]


def test_experts_are_one_row_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "m.gguf", [float32("blk.0.ffn_up_exps.weight", normal(3, 40, 30))])
    assert main([str(path), "--output-dir", str(tmp_path / "out"), "--no-plots"]) == 0
    assert "blk.0.ffn_up_exps.* 3, worst" in " ".join(capsys.readouterr().out.split())


def test_heads_fused_parts_and_buffers(tmp_path: Path) -> None:
    tensors = [
        float32("token_embd.weight", normal(50, 16)),
        float32("rope_freqs.weight", normal(2, 2)),
        float32("blk.0.attn_qkv.weight", normal(16 + 8 + 8, 16)),
        float32("blk.0.attn_q.weight", normal(16, 16)),
        float32("blk.0.attn_k.weight", normal(8, 16)),
        float32("blk.0.attn_output.weight", normal(16, 16)),
        float32("blk.0.attn_norm.weight", normal(16)),
        float32("blk.0.ssm_a", normal(16, 4)),
        float32("output.weight", normal(50, 16)),
    ]
    for architecture in ("llama", "gpt2"):
        values = [
            string("general.architecture", architecture),
            uint32(f"{architecture}.embedding_length", 16),
            uint32(f"{architecture}.attention.head_count", 4),
            uint32(f"{architecture}.attention.head_count_kv", 2),
        ]
        with open_source(str(written(tmp_path / "m.gguf", tensors, values))) as source:
            matrices, skipped = find_matrices(source, split_heads=True)
        shapes = {matrix.name: matrix.shape for matrix in matrices}
        assert shapes["blk.0.attn_qkv[query]"] == (16, 16)
        assert shapes["blk.0.attn_qkv[value]"] == (8, 16)
        assert shapes["blk.0.attn_q[head 3]"] == shapes["blk.0.attn_k[head 1]"] == (4, 16)
        assert "blk.0.attn_k[head 2]" not in shapes
        assert shapes["blk.0.attn_output[head 3]"] == (16, 4)
        kinds = {matrix.name: matrix.kind for matrix in matrices}
        assert kinds["token_embd"] == "embedding" and kinds["output"] == "linear"
        assert {s.parameter: s.reason for s in skipped} == {
            "rope_freqs.weight": "buffer: not trained",
            "blk.0.attn_norm.weight": "vector",
            "blk.0.ssm_a": "state-space parameter: not a matrix that multiplies activations",
        }


def test_factors_of_an_adapter_are_measured_together(tmp_path: Path) -> None:
    tensors = [
        float32("blk.0.attn_q.weight.lora_a", normal(4, 16)),
        float32("blk.0.attn_q.weight.lora_b", normal(24, 4)),
    ]
    values = [
        string("general.architecture", "llama"),
        string("general.type", "adapter"),
        string("adapter.type", "lora"),
        b"\x12\0\0\0\0\0\0\0adapter.lora.alpha\x06\0\0\0\0\0\0\x41",  # 8.0
    ]
    with open_source(str(written(tmp_path / "m.gguf", tensors, values))) as source:
        (adapter,) = find_adapters(source)
    assert (adapter.name, adapter.r, adapter.shape) == ("blk.0.attn_q", 4, (24, 16))
    assert adapter.scale == 2.0


def test_a_folded_convolution_has_its_own_shape(tmp_path: Path) -> None:
    values = [
        array("comfy.gguf.orig_shape.c.weight", 5, 4, np.array([4, 2, 3, 3], "<i4").tobytes())
    ]
    path = written(tmp_path / "m", [float32("c.weight", normal(9, 8))], values)
    assert read_gguf(path, "m").tensors["c.weight"].shape == (4, 2, 3, 3)
    wrong = [array("comfy.gguf.orig_shape.c.weight", 5, 1, np.array([71], "<i4").tobytes())]
    path = written(tmp_path / "m", [float32("c.weight", normal(9, 8))], wrong)
    assert read_gguf(path, "m").tensors["c.weight"].shape == (9, 8)


def split(directory: Path, count: int = 3) -> list[Path]:
    paths = []
    for number in range(count):
        values = [uint32("split.no", number), uint32("split.count", count)]
        values.append(uint32("split.tensors.count", count))
        if number == 0:
            values.append(string("general.architecture", "llama"))
        tensors = [float32(f"blk.{number}.attn_q.weight", np.full((4, 3), number, np.float32))]
        path = directory / f"m-{number + 1:05d}-of-{count:05d}.gguf"
        paths.append(written(path, tensors, values))
    return paths


def test_a_split_file_is_one_model(tmp_path: Path) -> None:
    paths = split(tmp_path)
    for given in (*paths, tmp_path):
        with open_source(str(given)) as source:
            assert [t.values()[0, 0] for t in source.tensors.values()] == [0, 1, 2]
            assert source.config["model_type"] == "llama"
            assert {Path(state.path) for state in source.files} >= set(paths)
    assert models_below(tmp_path).models == (tmp_path,)
    written(tmp_path / "other.gguf", [float32("a.weight", normal(3, 2))])
    assert models_below(tmp_path).models == (paths[0], tmp_path / "other.gguf")


def test_a_split_file_must_be_whole(tmp_path: Path) -> None:
    first, second, third = split(tmp_path)
    content = third.read_bytes()
    third.write_bytes(second.read_bytes())
    with pytest.raises(CheckpointError, match="m-00003-of-00003.gguf is not the part"):
        read_gguf(first, "m")
    third.write_bytes(content.replace(b"blk.2", b"blk.1"))
    with pytest.raises(CheckpointError, match="tensor blk.1.attn_q.weight twice"):
        read_gguf(first, "m")
    third.write_bytes(gguf([uint32("split.no", 2), uint32("split.count", 3)]))
    with pytest.raises(CheckpointError, match="its parts contain 2 tensors; it should be 3"):
        read_gguf(first, "m")
    third.unlink()
    with pytest.raises(CheckpointError, match="^m: the part m-00003-of-00003.gguf is missing"):
        read_gguf(first, "m")
    renamed = first.rename(tmp_path / "blob")
    with pytest.raises(CheckpointError, match="one of 3 parts of a split file"):
        read_gguf(renamed, "m")


def test_numbers_that_are_not_finite_skip_their_tensor(tmp_path: Path) -> None:
    codes = np.ones((64, 32), np.int8)
    scales = np.ones(64)
    scales[5] = np.inf
    tensors = [
        q8("blk.0.attn_q.weight", (64, 32), scales, codes),
        float32("blk.0.attn_k.weight", normal(64, 32)),
    ]
    path = written(tmp_path / "m.gguf", tensors)
    assert main([str(path), "--output-dir", str(tmp_path / "out"), "--no-plots"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert "not finite" in report["skipped"][0]["reason"]
    assert F32 == 0
