"""Verdicts on dequantized weights: a loss that the noise of quantization may hide is hidden."""

from typing import Any

import numpy as np
import pytest

from allennlp_analyze import analyze
from tests.support.quantized import pack

pytestmark = pytest.mark.newest_python
SCHEMES = ("int4", "int8", "float8")


def quantized(weight: np.ndarray, scheme: str) -> "dict[str, Any]":
    """The tensors of a quantized weight, rounded to the nearest code."""
    if scheme == "float8":
        ml_dtypes = pytest.importorskip("ml_dtypes")
        scale = np.abs(weight).max(1, keepdims=True) / 448
        codes = (weight / scale).astype(ml_dtypes.float8_e4m3fn)
        return {"a.weight": codes, "a.weight_scale": scale.astype(np.float32)}
    bits = 4 if scheme == "int4" else 8
    inputs, outputs = weight.shape[1], weight.shape[0]
    groups = weight.T.reshape(-1, 32, outputs)
    scale = np.abs(groups).max(1) / (2 ** (bits - 1) - 1)
    codes = np.rint(groups / scale[:, None]).astype(int) + (1 << (bits - 1))
    zeros = np.full((outputs, len(groups)), (1 << (bits - 1)) - 1)
    return {
        "a.qweight": pack(codes.reshape(inputs, outputs), bits).view(np.int32),
        "a.qzeros": pack(zeros, bits).T.view(np.int32),
        "a.scales": scale.astype(np.float32),
    }


def cut(weight: np.ndarray, lost: int) -> np.ndarray:
    u, s, v = np.linalg.svd(weight, full_matrices=False)
    s[len(s) - lost :] = 0
    return (u * s) @ v


def drawn(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)) * 0.02


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", [(384, 96), (96, 384), (160, 96)])
@pytest.mark.parametrize("lost", [1, 12, 48])
def test_a_planted_loss_is_never_full_rank(
    scheme: str, shape: "tuple[int, int]", lost: int
) -> None:
    (layer,) = analyze(quantized(cut(drawn(*shape, seed=lost), lost), scheme)).layers
    assert layer.verdict in ("hidden", "collapsed")
    evidence = layer.evidence
    assert evidence is not None and evidence.noise_floor is not None
    assert layer.singular_values[-1] < evidence.noise_floor
    if layer.verdict == "hidden":
        assert evidence.hidden_directions >= 1
        assert "quantization" in evidence.reason
    if scheme == "int4":
        assert layer.verdict == "hidden"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_quantization_cannot_hide_is_full_rank(scheme: str) -> None:
    for seed in range(3):
        (layer,) = analyze(quantized(drawn(384, 96, seed), scheme)).layers
        assert layer.verdict == "full_rank"


def test_a_square_of_4_bits_is_hidden_and_says_why() -> None:
    report = analyze(quantized(drawn(128, 128, 0), "int4"))
    assert report.layers[0].verdict == "hidden"
    assert "quantization" in report.summary.sentence
    assert report.layers[0].power_law is not None


def test_a_weight_without_quantization_has_no_floor() -> None:
    (layer,) = analyze({"a.weight": drawn(96, 64, 0)}).layers
    assert layer.evidence is not None and layer.evidence.noise_floor is None
