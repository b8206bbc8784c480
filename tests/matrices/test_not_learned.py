"""What has the shape of a matrix and is no learned map is left out with its reason."""

from typing import Any

import numpy as np
import pytest

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.sources.in_memory import module_source
from allennlp_analyze.sources.source import Source
from tests.support.torch_sources import numpy_source

pytestmark = pytest.mark.newest_python
ANGLES = np.arange(50)[:, None] / 10000 ** (np.arange(16)[None] / 16)
HALVES = np.concatenate([np.sin(ANGLES), np.cos(ANGLES)], 1)
IN_TURN = np.stack([np.sin(ANGLES), np.cos(ANGLES)], 2).reshape(50, 32)
WEIGHT = np.random.default_rng(0).standard_normal((50, 32))


def skipped(tensors: "dict[str, Any]") -> "dict[str, str]":
    return {one.parameter: one.reason for one in find_matrices(numpy_source(tensors))[1]}


@pytest.mark.parametrize("table", [HALVES, IN_TURN, HALVES.astype(np.float16)])
@pytest.mark.parametrize("name", ["encoder.embed_positions.weight", "pos_emb.weight"])
def test_fixed_sinusoids(name: str, table: np.ndarray) -> None:
    assert skipped({name: table}) == {name: "fixed sinusoids: not learned"}


@pytest.mark.parametrize("name", ["encoder.embed_positions.weight", "pos_emb.weight"])
def test_learned_positions_and_other_sinusoids_are_analyzed(name: str) -> None:
    assert skipped({name: WEIGHT}) == {}
    assert skipped({"fourier.weight": HALVES}) == {}


QUARTERS = np.concatenate([np.tile(HALVES[:7], (7, 1)), np.repeat(HALVES[:7], 7, axis=0)], axis=1)


@pytest.mark.parametrize(
    "table",
    [
        HALVES,
        IN_TURN[:, None],
        HALVES[None] * 0.3,
        QUARTERS,
        np.vstack([np.zeros((1, 64)), QUARTERS]),
    ],
    ids=["halves", "in turn", "scaled", "of an image", "with a class token"],
)
@pytest.mark.parametrize("name", ["pe", "net.positional_encoding", "decoder_pos_embed"])
def test_sinusoids_of_any_form_and_name(name: str, table: np.ndarray) -> None:
    assert "fixed" in skipped({name: table})[name]


@pytest.mark.parametrize("name", ["pe", "positional_encoding", "soft_mask", "decoder_pos_embed"])
@pytest.mark.parametrize("values", [WEIGHT, np.ones((50, 32))], ids=["random", "ones"])
def test_learned_tables_are_analyzed_whatever_their_name(name: str, values: np.ndarray) -> None:
    is_mask = "mask" in name and values is not WEIGHT
    assert skipped({name: values}) == ({name: "mask"} if is_mask else {})


@pytest.mark.parametrize(
    "values",
    [
        np.tril(np.ones((9, 9))),
        np.triu(np.full((9, 9), -np.inf), 1),
        np.where(WEIGHT > 0, -100.0, 0),
        0.9 ** np.abs(np.subtract.outer(np.arange(9), np.arange(9))),
        np.ones(9),
        np.zeros((0, 4)),
    ],
    ids=["causal", "infinite", "window", "decay", "vector", "empty"],
)
def test_masks(values: np.ndarray) -> None:
    assert skipped({"attn.mask": values}) == {"attn.mask": "mask"}


def test_names_of_buffers_are_called_what_they_are() -> None:
    found = skipped({"rope.cos_cached": WEIGHT, "bn.running_mean": WEIGHT[0]})
    assert found["rope.cos_cached"] == "named like a buffer (`cached`), which is not trained"
    assert found["bn.running_mean"] == "buffer: not trained"


def test_a_weight_with_as_many_biases_is_a_gain_by_its_name_or_values() -> None:
    rng = np.random.default_rng(1)
    gain = 1 + 0.1 * rng.standard_normal((40, 64))
    bias = rng.standard_normal((40, 64))
    reason = "normalization: a scale, not a matrix"
    for name, values in (("norm", bias), ("0", gain)):
        found = skipped({f"{name}.weight": values, f"{name}.bias": bias})
        assert found == {f"{name}.weight": reason, f"{name}.bias": "bias"}
    table = {"tokenizer.weight": bias, "tokenizer.bias": bias, "fc.weight": WEIGHT}
    assert skipped(table) == {"tokenizer.bias": "bias"}
    [first, _] = find_matrices(numpy_source(table))[0]
    assert first.kind == "other"


def test_codebooks_of_moving_averages_are_buffers() -> None:
    names = ("embed", "embed_avg")
    tensors = {f"quantizer.codebook.{name}": WEIGHT for name in names}
    assert skipped(tensors) == {}
    tensors["quantizer.codebook.cluster_size"] = np.ones(50)
    for name in names:
        assert skipped(tensors)[f"quantizer.codebook.{name}"].startswith("codebook of moving")


def test_state_space_parameters() -> None:
    found = skipped({"mixer.A_log": WEIGHT, "mixer.in_proj.weight": WEIGHT})
    assert list(found) == ["mixer.A_log"] and "state-space parameter" in found["mixer.A_log"]


@pytest.mark.parametrize("leaf", ["weight_scale_inv", "scales", "weight_scale"])
def test_scales_beside_weights_are_no_matrices(leaf: str) -> None:
    tensors = {"up.weight": WEIGHT, f"up.{leaf}": np.ones((5, 4), np.float32)}
    assert skipped(tensors) == {f"up.{leaf}": "scales of quantization: not a matrix"}
    assert skipped({f"up.{leaf}": WEIGHT}) == {}  # nothing that it could scale


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "bits", "weights"),
    [
        ("a.qweight", (48, 100), np.int32, None, 48 * 8 * 100),
        ("a.qweight", (48, 100), np.int32, 8, 48 * 4 * 100),
        ("a.weight", (48, 100), np.int8, None, 4800),
        ("a.token_ids", (48, 100), np.int64, None, 0),
    ],
)
def test_weights_that_are_not_read_are_counted(
    name: str, shape: "tuple[int, int]", dtype: Any, bits: "int | None", weights: int
) -> None:
    source = numpy_source({name: np.zeros(shape, dtype)})
    config = {"quantization_config": {"bits": bits}} if bits else {}
    source = Source(**{**vars(source), "config": config})
    [left_out] = find_matrices(source)[1]
    assert left_out.weights == weights


def test_a_modules_frozen_tables_are_left_out_but_not_a_frozen_model() -> None:
    nn = pytest.importorskip("torch").nn
    model = nn.ModuleDict({"positions": nn.Embedding(9, 4), "body": nn.Linear(40, 30)})

    def left_out() -> "dict[str, str]":
        source, module = module_source(model)
        reasons = find_matrices(source, table_from_model(module))[1]
        return {one.parameter: one.reason for one in reasons if one.reason != "bias"}

    assert left_out() == {}
    model["positions"].requires_grad_(False)
    assert left_out() == {"positions.weight": "frozen: not trained"}
    model.requires_grad_(False)
    assert left_out() == {}
    model["positions"].requires_grad_(True)  # the body was trained earlier
    assert left_out() == {}


def test_what_a_module_trains_is_analyzed_whatever_its_name() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    for name in ("pe", "soft_mask", "positional_encoding"):
        model.register_parameter(name, torch.nn.Parameter(torch.randn(6, 4)))
    tokenizer = torch.nn.Module()
    tokenizer.weight = torch.nn.Parameter(torch.randn(5, 4))
    tokenizer.bias = torch.nn.Parameter(torch.randn(5, 4))
    model.add_module("tokenizer", tokenizer)
    model.add_module("over_two", torch.nn.LayerNorm([3, 4]))
    source, module = module_source(model)
    found = {one.parameter for one in find_matrices(source, table_from_model(module))[0]}
    assert found == {"weight", "pe", "soft_mask", "positional_encoding", "tokenizer.weight"}
