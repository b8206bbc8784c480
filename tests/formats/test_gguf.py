"""GGUF files written by the package gguf: numbers bit for bit, metadata, split files."""

from pathlib import Path

import numpy as np
import pytest

import allennlp_analyze as analyzer
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.gguf.reading import read_gguf
from allennlp_analyze.sources.formats.gguf.types import TYPES
from allennlp_analyze.sources.opening import open_source

pytestmark = pytest.mark.newest_python

gguf = pytest.importorskip("gguf", reason="make test-formats installs gguf")
SHAPE = (24, 512)
PLAIN = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4"}
# Where blocks have their scales.
SCALES = {
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0", "Q8_K"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
}
QUANTIZED = sorted(kind.name for kind in TYPES.values() if kind.dtype is None)


def writer(path: Path, **options: int) -> "gguf.GGUFWriter":
    made = gguf.GGUFWriter(str(path), "llama", **options)
    made.add_embedding_length(512)
    made.add_head_count(8)
    made.add_head_count_kv(4)
    made.add_block_count(2)
    made.add_token_list(["<s>", "\x1b[31m", "é"] * 100)
    return made


def finish(made: "gguf.GGUFWriter") -> None:
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()


def blocks(name: str) -> np.ndarray:
    """A matrix in the type `name`: quantized if gguf can, otherwise codes at random."""
    kind = gguf.GGMLQuantizationType[name]
    rng = np.random.default_rng(0)
    try:
        return gguf.quants.quantize(rng.standard_normal(SHAPE).astype(np.float32), kind)
    except NotImplementedError:
        size, nbytes = gguf.GGML_QUANT_SIZES[kind]
        return rng.integers(0, 60, (SHAPE[0], SHAPE[1] // size * nbytes), np.uint8)


def test_sizes_of_types_are_those_of_the_package() -> None:
    theirs = {
        int(kind): (kind.name, *sizes)
        for kind, sizes in gguf.GGML_QUANT_SIZES.items()
        if kind.name != "Q8_1"
    }
    assert {n: (t.name, t.size, t.nbytes) for n, t in TYPES.items() if n in theirs} == theirs


@pytest.mark.parametrize("name", QUANTIZED)
def test_numbers_are_those_of_the_package_bit_for_bit(tmp_path: Path, name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    stored = blocks(name)
    made = writer(tmp_path / "m.gguf")
    made.add_tensor("blk.0.attn_q.weight", stored, raw_dtype=kind)
    finish(made)
    tensor = read_gguf(tmp_path / "m.gguf", "m").tensors["blk.0.attn_q.weight"]
    assert tensor.shape == SHAPE
    try:
        with np.errstate(all="ignore"):
            expected = gguf.quants.dequantize(stored, kind)
    except NotImplementedError:
        known_here = name == "Q8_K"
        assert known_here or "update it" in (tensor.unsupported or "")
        return
    assert tensor.values().dtype == np.float32
    assert tensor.values().tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", [*PLAIN, "BF16", "I64"])
def test_plain_types(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32) * 40
    made = writer(tmp_path / "m.gguf")
    if name == "BF16":
        kind = gguf.GGMLQuantizationType.BF16
        stored = gguf.quants.quantize(values, kind)
        expected = gguf.quants.dequantize(stored, kind)
        made.add_tensor("w", stored, raw_dtype=kind)
    else:
        expected = values.astype(PLAIN.get(name, "<i8"))
        made.add_tensor("w", expected)
    finish(made)
    (tensor,) = read_gguf(tmp_path / "m.gguf", "m").tensors.values()
    assert np.array_equal(tensor.values(), expected)


def test_experts_are_quantized_one_by_one(tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType.Q4_0
    values = np.random.default_rng(0).standard_normal((3, 8, 64)).astype(np.float32)
    stored = gguf.quants.quantize(values, kind)
    made = writer(tmp_path / "m.gguf")
    made.add_tensor("blk.0.ffn_up_exps.weight", stored, raw_dtype=kind)
    finish(made)
    with open_source(str(tmp_path / "m.gguf")) as source:
        matrices, skipped = find_matrices(source)
    expected = gguf.quants.dequantize(stored, kind)
    assert [m.name for m in matrices] == [f"blk.0.ffn_up_exps.{i}" for i in range(3)]
    assert all(np.array_equal(m.values(), expected[i]) for i, m in enumerate(matrices))
    assert skipped == []


def test_metadata_and_the_reader_of_the_package(tmp_path: Path) -> None:
    made = writer(tmp_path / "m.gguf")
    made.add_tensor("token_embd.weight", np.ones((300, 512), np.float16))
    made.add_tensor("output_norm.weight", np.ones(512, np.float32))
    made.add_custom_alignment(64)
    finish(made)
    weights = read_gguf(tmp_path / "m.gguf", "m")
    theirs = gguf.GGUFReader(str(tmp_path / "m.gguf"))
    assert {t.name: tuple(reversed(t.shape.tolist())) for t in theirs.tensors} == {
        name: tensor.shape for name, tensor in weights.tensors.items()
    }
    assert weights.config["num_attention_heads"] == 8
    assert weights.config["num_key_value_heads"] == 4
    assert weights.config["tie_word_embeddings"] is True


def test_split_files(tmp_path: Path) -> None:
    made = writer(tmp_path / "m.gguf", split_max_tensors=2)
    for index in range(5):
        made.add_tensor(f"blk.{index}.attn_q.weight", np.full((4, 8), index, np.float32))
    finish(made)
    assert len(list(tmp_path.iterdir())) == 3
    with open_source(str(tmp_path)) as source:
        assert [t.values()[0, 0] for t in source.tensors.values()] == [0, 1, 2, 3, 4]


def test_the_rows_of_query_and_key_move_only_within_their_heads(tmp_path: Path) -> None:
    """What llama.cpp's converter does with Llama's query and key: the order of rotary pairs."""
    values = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    moved = values.reshape(8, 2, 32, 512).swapaxes(1, 2).reshape(512, 512)
    made = writer(tmp_path / "m.gguf")
    made.add_tensor("blk.0.attn_q.weight", moved)
    finish(made)
    with open_source(str(tmp_path / "m.gguf")) as source:
        matrices, _ = find_matrices(source, split_heads=True)
    heads = {m.part: m.values() for m in matrices if m.part}
    assert list(heads) == [f"head {i}" for i in range(8)]
    for i in range(8):
        found = np.linalg.svd(heads[f"head {i}"], compute_uv=False)
        expected = np.linalg.svd(values[64 * i : 64 * (i + 1)], compute_uv=False)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"])
def test_the_estimated_error_is_the_one_that_quantization_made(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    kind = gguf.GGMLQuantizationType[name]
    values = rng.standard_normal(SHAPE).astype(np.float32)
    values[5] *= 3  # a row with larger steps
    stored = gguf.quants.quantize(values, kind)
    made = writer(tmp_path / "m.gguf")
    made.add_tensor("blk.0.attn_q.weight", stored, raw_dtype=kind)
    finish(made)
    errors = gguf.quants.dequantize(stored, kind) - values
    with open_source(str(tmp_path / "m.gguf")) as source:
        (tensor,) = source.tensors.values()
    for take in (lambda all: all, lambda all: all[5:6], lambda all: all[:, :64]):
        found, expected = tensor.rms_error(take), np.sqrt(np.mean(take(errors) ** 2))
        assert 0.8 < found / expected < 1.25


@pytest.mark.parametrize("name", [name for name in QUANTIZED if not name.startswith("TQ")])
def test_steps_are_those_between_neighboring_numbers(name: str) -> None:
    """A code more or less changes a number by its step, or the error is within the type's share."""
    from allennlp_analyze.sources.formats.gguf.errors import _UNIT_CODES, variances_of
    from allennlp_analyze.sources.formats.gguf.types import dequantizer, why_not

    kind = next(kind for kind in TYPES.values() if kind.name == name)
    if why_not(kind):
        pytest.skip(f"the package does not know {name}")
    stored = np.random.default_rng(0).integers(0, 60, 200 * kind.nbytes, np.uint8)
    for start in SCALES.get(name, ()):
        scale = np.array([0.5], "<f4" if name == "Q8_K" else "<f2").view(np.uint8)
        stored.reshape(200, -1)[:, start : start + len(scale)] = scale
    numbers, variances = dequantizer(kind)(stored), variances_of(kind)(stored)
    assert variances.shape == numbers.shape and (variances >= 0).all()
    if name not in _UNIT_CODES or name.startswith(("IQ4", "MXFP4", "NVFP4")):
        assert 0.0001 < variances.mean() / np.mean(numbers**2) < 0.3
        return
    # All numbers of a group of 16 are its smallest number and whole steps.
    steps = np.sqrt(12 * variances.astype(np.float64)).reshape(-1, 16)
    groups = numbers.astype(np.float64).reshape(-1, 16)
    assert (steps == steps[:, :1]).all()
    moves = (groups - groups[:, :1])[steps[:, 0] > 0] / steps[steps[:, 0] > 0]
    np.testing.assert_allclose(moves, np.round(moves), atol=1e-3)
    assert np.unique(np.diff(np.unique(np.round(moves)))).min() == 1


def test_the_noise_of_quantization_hides_a_loss_and_no_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    healthy = rng.standard_normal((384, 256)).astype(np.float32)
    left, values, right = np.linalg.svd(healthy, full_matrices=False)
    values[200:] = 1e-4
    lost = ((left * values) @ right).astype(np.float32)
    verdicts = {}
    for name in ("F16", "Q8_0", "Q4_0"):
        made = writer(tmp_path / f"{name}.gguf")
        kind = gguf.GGMLQuantizationType[name]
        for index, matrix in enumerate((healthy, lost)):
            stored = gguf.quants.quantize(matrix, kind)
            made.add_tensor(f"blk.{index}.ffn_up.weight", stored, raw_dtype=kind)
        finish(made)
        report = analyzer.analyze(tmp_path / f"{name}.gguf")
        verdicts[name] = [layer.verdict.value for layer in report.layers]
    assert verdicts["F16"] == verdicts["Q8_0"] == ["full_rank", "collapsed"]
    assert verdicts["Q4_0"] == ["full_rank", "hidden"]
