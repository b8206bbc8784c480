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
