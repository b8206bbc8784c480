"""NaN and infinity in biases, gains and statistics make a model invalid, as in a matrix."""

from typing import Any

import numpy as np
import pytest

from allennlp_analyze import analyze


def model(**more: Any) -> "dict[str, np.ndarray]":
    rng = np.random.default_rng(0)
    vectors = {
        "fc.bias": np.zeros(48),
        "norm.weight": np.ones(48),
        "norm.bias": np.zeros(48),
        "norm.running_mean": np.zeros(48),
        "norm.running_var": np.ones(48),
    }
    return {"fc.weight": rng.standard_normal((48, 32)), **vectors, **more}


def with_one(value: float, fill: float = 0.0) -> np.ndarray:
    vector = np.full(48, fill)
    vector[7] = value
    return vector


@pytest.mark.parametrize("value, word", [(np.nan, "NaN"), (np.inf, "infinity")])
@pytest.mark.parametrize(
    "name", ["fc.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
)
def test_every_vector_is_read(name: str, value: float, word: str) -> None:
    torch = pytest.importorskip("torch")
    state = model(**{name: with_one(value)})
    # The network answers NaN or infinity: that is what the verdict is about.
    x = torch.ones(2, 32, dtype=torch.float64) @ torch.from_numpy(state["fc.weight"]).T
    of_norm = [torch.from_numpy(state[f"norm.{x}"]) for x in ("running_mean", "running_var")]
    x = x + torch.from_numpy(state["fc.bias"])
    gains = [torch.from_numpy(state[f"norm.{x}"]) for x in ("weight", "bias")]
    y = torch.nn.functional.batch_norm(x, *of_norm, *gains)
    if name != "norm.running_var" or np.isnan(value):
        assert not torch.isfinite(y).all()
    report = analyze(state)
    assert report.summary.verdict == "invalid" and report.summary.n_invalid == 1
    (found,) = [x for x in report.skipped if x.invalid]
    assert found.parameter == name
    assert found.reason.endswith(f"1 entry is not finite; the first is {word} at 7")


def test_a_bias_of_minus_infinity_masks_a_class() -> None:
    report = analyze(model(**{"fc.bias": with_one(-np.inf)}))
    assert report.summary.verdict == "full_rank" and report.summary.n_invalid == 0


def test_a_healthy_model_is_not_invalid() -> None:
    assert analyze(model()).summary.n_invalid == 0
    masks = {"attn.mask": np.triu(np.full((8, 8), -np.inf), 1), "attn.masked_bias": np.array(-1e4)}
    assert analyze(model(**masks)).summary.verdict == "full_rank"
