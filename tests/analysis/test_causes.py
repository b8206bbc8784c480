"""Causes: what was made to be lost is named, with the units, and nothing else is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze import analyze
from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.verdict import Verdict
from tests.support.matrices import with_singular_values

pytestmark = pytest.mark.newest_python


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def findings(tensors: "dict[str, np.ndarray]", name: str) -> "list[Any]":
    evidence = analyze(tensors).layer(name).evidence
    assert evidence is not None
    return [(f.cause, f.count, f.units) for f in evidence.findings]


@pytest.mark.parametrize("shape", [(40, 90), (40, 40)])
@pytest.mark.parametrize("left", [0.0, 1e-6])
def test_dead_rows_and_columns(shape: "tuple[int, int]", left: float) -> None:
    w = random(*shape)
    w[[3, 17]] *= left
    assert findings({"a.weight": w}, "a") == [("dead_outputs", 2, (3, 17))]
    assert findings({"a.weight": w.T.copy()}, "a") == [("dead_inputs", 2, (3, 17))]


def test_a_conv1d_has_its_outputs_in_columns() -> None:
    w = random(90, 40)
    w[:, 7] = 0
    tensors = {"a.weight": w, "a.bias": np.ones(40)}
    assert findings(tensors, "a") == [("dead_outputs", 1, (7,))]


@pytest.mark.parametrize("factor", [1.0, -1.0, 2.5])
def test_copies(factor: float) -> None:
    w = random(40, 90)
    w[[5, 9]] = w[2] * factor
    assert findings({"a.weight": w}, "a") == [("copied_outputs", 2, (2, 5, 9))]


def test_most_of_a_spectrum_that_is_lost_has_sunk_and_less_is_unexplained() -> None:
    values = np.append(np.linspace(3, 1, 20), np.zeros(40))
    w = with_singular_values(0, 90, 60, values)
    assert findings({"a.weight": w}, "a") == [("bulk_sunk", 40, ())]
    few = with_singular_values(0, 90, 60, np.append(np.linspace(3, 1, 50), np.zeros(10)))
    assert findings({"a.weight": few}, "a") == [("unexplained", 10, ())]


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_softmax_does_not_see_the_constant_of_a_last_layer(classes: int) -> None:
    w = random(classes, 256)
    w -= w.mean(axis=0) * (1 - 1e-4)
    tensors = {"body.weight": random(256, 300), "head.weight": w}
    assert findings(tensors, "head") == [("softmax", 1, ())]
    # Of a layer whose outputs another one takes, it would be a loss.
    taken = findings({**tensors, "next.weight": random(50, classes, seed=2)}, "head")
    assert [cause for cause, *_ in taken] != ["softmax"]


@pytest.mark.parametrize("left", [0.1, 0.045, 0.02, 1e-4])
def test_a_harmless_direction_may_fade_to_any_size(left: float) -> None:
    """Between healthy and lost there is near collapse: the constant passes through it."""
    w = random(30, 256)
    u, s, vt = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)
    s[-1], u[:, -1] = left * s[-2], 1 / np.sqrt(30)
    tensors = {"body.weight": random(256, 300), "head.weight": (u * s) @ vt}
    head = analyze(tensors).layer("head")
    assert head.evidence is not None
    assert [f.cause for f in head.evidence.findings] == ["softmax"]
    assert head.verdict == "full_rank"
    # A second one that is nearly as small is no constant.
    s[-2] = s[-1] * 1.05
    tensors["head.weight"] = (u * s) @ vt
    assert (analyze(tensors).layer("head").verdict == "full_rank") == (left > 0.05)


def test_a_layer_norm_does_not_see_the_constant_over_outputs() -> None:
    w = random(64, 256)
    w -= w.mean(axis=0) * (1 - 1e-3)
    norm = {"layer.0.LayerNorm.weight": np.ones(64), "layer.0.LayerNorm.bias": np.zeros(64)}
    tensors = {"layer.0.dense.weight": w, "layer.1.dense.weight": random(32, 64), **norm}
    assert findings(tensors, "layer.0.dense") == [("layer_norm_output", 1, ())]
    statistics = {"layer.0.LayerNorm.running_mean": np.zeros(64)}  # then it is a BatchNorm
    found = findings({**tensors, **statistics}, "layer.0.dense")
    assert found == [("unexplained", 1, ())]


def test_outputs_of_a_layer_norm_never_have_the_inverse_of_its_gain() -> None:
    gain = np.exp(random(64, seed=5) / 2)
    blind = (1 / gain) / np.linalg.norm(1 / gain)
    w = random(256, 64)
    w -= np.outer(w @ blind, blind) * (1 - 1e-3)
    tensors = {
        "block.0.norm.weight": gain,
        "block.0.norm.bias": np.zeros(64),
        "block.0.fc.weight": w,
        "block.0.out.weight": random(64, 256),
    }
    assert findings(tensors, "block.0.fc") == [("layer_norm_input", 1, ())]


def test_a_small_layer_before_a_normalization_is_fine() -> None:
    w = 1e-6 * random(64, 256)
    norm = {"conv.1.weight": np.ones(64), "conv.1.bias": np.zeros(64)}
    report = analyze({"conv.0.weight": w, **norm})
    layer = report.layer("conv.0")
    assert layer.evidence is not None
    assert (layer.verdict, report.summary.verdict) == ("full_rank", "full_rank")
    assert [f.cause for f in layer.evidence.findings] == ["small_but_normalized"]
    assert analyze({"conv.0.weight": w}).summary.verdict == "collapsed"


def test_a_head_may_have_as_many_classes_as_the_first_layer_has_inputs() -> None:
    head = random(3, 128, seed=2)
    head -= head.mean(axis=0) * (1 - 1e-4)
    tensors = {"a.weight": random(64, 3), "b.weight": random(128, 64, seed=1), "c.weight": head}
    assert findings(tensors, "c") == [("softmax", 1, ())]


def test_no_softmax_takes_keys_or_experts() -> None:
    w = random(32, 96)
    w -= w.mean(axis=0) * (1 - 1e-7)
    for name in ("layers.0.self_attn.k_proj", "layers.0.mlp.experts.1.w3"):
        assert findings({f"{name}.weight": w}, name) == [("unexplained", 1, ())]


def branch(last: str, norm: str) -> "dict[str, np.ndarray]":
    """The end of a block, which decayed away, and a LayerNorm that its name stands beside."""
    return {
        f"layers.0.{last}.weight": 1e-10 * random(64, 256),
        f"layers.0.{norm}.weight": np.ones(64),
        f"layers.0.{norm}.bias": np.zeros(64),
    }


@pytest.mark.parametrize("last, norm", [("linear2", "norm2"), ("output.dense", "output.LayerNorm")])
def test_a_branch_that_is_added_to_a_residual_may_not_decay(last: str, norm: str) -> None:
    """torch's TransformerEncoderLayer and BERT normalize the sum, whose scale is the residual's."""
    report = analyze(branch(last, norm))
    assert report.summary.verdict == "collapsed"
    assert findings(branch(last, norm), f"layers.0.{last}") == [("decayed", 64, ())]
    own = findings(branch("q_proj", "q_norm"), "layers.0.q_proj")
    assert own == [("small_but_normalized", 0, ())]


def test_a_normalization_without_gain_saves_nothing() -> None:
    w = 1e-13 * random(64, 256)
    norm = {"conv.1.weight": np.full(64, 1e-13), "conv.1.bias": np.zeros(64)}
    assert findings({"conv.0.weight": w, **norm}, "conv.0") == [("decayed", 64, ())]


def test_dead_channels_are_followed_through_a_kernel() -> None:
    pytest.importorskip("torch")
    first, second = random(32, 16, 3, 3), random(48, 32, 3, 3, seed=1)
    first[[4, 30]] = 0
    second[:, [4, 30]] = 0
    tensors = {"conv1.weight": first, "conv2.weight": second}
    assert findings(tensors, "conv1") == [("dead_outputs", 2, (4, 30))]
    assert findings(tensors, "conv2") == [("dead_inputs", 0, (4, 30))]
    second[:, [4, 30]] = 1  # alive there
    assert findings(tensors, "conv2") == []


def test_rows_of_an_embedding_without_weights_are_unused() -> None:
    w = random(30, 60)
    w[[0, 9]] = 0
    report = analyze({"token_embedding.weight": w})
    [layer] = report.layers
    assert layer.evidence is not None and layer.kind == "embedding"
    [finding] = layer.evidence.findings
    assert (finding.cause, finding.is_harmless, layer.verdict) == ("unused_rows", True, "full_rank")


def test_what_rounding_hides_is_said(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rounded = np.random.default_rng(0).standard_normal((64, 64)).astype(ml_dtypes.float8_e5m2)
    save_file({"a.weight": rounded}, tmp_path / "m.safetensors")
    found = analyze(tmp_path / "m.safetensors").layer("a")
    assert found.verdict is Verdict.HIDDEN and found.evidence is not None
    [finding] = found.evidence.findings
    # As many of the values are within what rounding does to a matrix of this size.
    exact = np.linalg.svd(rounded.astype(float), compute_uv=False)
    assert finding.cause is Cause.BELOW_PRECISION
    assert finding.count == pytest.approx((exact <= found.tolerance.rounding).sum(), abs=4)
    assert "hidden by rounding to the stored precision" in found.evidence.reason
