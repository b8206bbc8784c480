"""Adapters: their singular values are those of scale * B A by numpy, and their scales are right."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze import Report, analyze
from tests.support.html_elements import words

pytestmark = pytest.mark.newest_python
safetensors = pytest.importorskip("safetensors.numpy")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def saved(directory: Path, tensors: "dict[str, np.ndarray]", **config: Any) -> Report:
    safetensors.save_file(tensors, directory / "adapter_model.safetensors")
    if config:
        (directory / "adapter_config.json").write_text(json.dumps(config))
    return analyze(directory)


@given(
    st.integers(1, 12), st.integers(1, 9), st.integers(1, 10), st.floats(0.1, 10), st.integers(0, 9)
)
def test_the_product_is_measured_without_being_formed(
    outputs: int, inputs: int, r: int, alpha: float, seed: int
) -> None:
    down, up = random(r, inputs, seed=seed), random(outputs, r, seed=seed + 1)
    tensors = {"x.lora_down.weight": down, "x.lora_up.weight": up, "x.alpha": np.array(alpha)}
    [adapter] = analyze(tensors).adapters
    expected = np.linalg.svd(alpha / r * up @ down, compute_uv=False)
    k = min(outputs, inputs, r)
    assert adapter.singular_values[:k] == pytest.approx(expected[:k], rel=1e-9, abs=1e-9)
    assert adapter.delta_norm == pytest.approx(np.linalg.norm(alpha / r * up @ down))
    shares = expected**2 / np.sum(expected**2)
    assert adapter.first_direction_share == pytest.approx(shares[0])
    assert adapter.stable_rank == pytest.approx(1 / shares[0])


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 16}, 2.0),
        ({"lora_alpha": 16, "use_rslora": True}, 16 / math.sqrt(8)),
        ({"lora_alpha": 16, "alpha_pattern": {"q_proj": 4}}, 0.5),
        ({"lora_alpha": 16, "alpha_pattern": {r"^base_model\..*\.q_pro.": 4}}, 0.5),
        ({"lora_alpha": 16, "alpha_pattern": {"(a+)+q_proj": 4}}, 2.0),
        ({}, 1.0),
    ],
)
def test_the_scale_is_pefts(config: "dict[str, Any]", scale: float, tmp_path: Path) -> None:
    name = "base_model.model.layers.0.q_proj"
    tensors = {f"{name}.lora_A.weight": random(8, 30), f"{name}.lora_B.weight": random(20, 8)}
    [adapter] = saved(tmp_path, tensors, **config).adapters
    assert (adapter.name, adapter.shape, adapter.r) == (name, (20, 30), 8)
    assert adapter.scale == pytest.approx(scale)


def test_convolutions_dora_and_diffusers() -> None:
    tensors = {
        "conv.lora_down.weight": random(4, 6, 3, 3),
        "conv.lora_up.weight": random(10, 4, 1, 1),
        "attn.processor.to_k_lora.down.weight": random(2, 12),
        "attn.processor.to_k_lora.up.weight": random(8, 2),
        "attn.to_q.lora.down.weight": random(2, 12),
        "attn.to_q.lora.up.weight": random(8, 2),
        "mlp.lora_A.default.weight": random(2, 12),
        "mlp.lora_B.default.weight": random(8, 2),
        "mlp.lora_magnitude_vector": np.ones(8),
    }
    report = analyze(tensors)
    found = {adapter.name: adapter for adapter in report.adapters}
    assert {name: a.shape for name, a in found.items()} == {
        "conv": (10, 54),
        "attn.to_q": (8, 12),
        "attn.processor.to_k": (8, 12),
        "mlp": (8, 12),
    }
    assert "DoRA" in found["mlp"].scale_source
    assert not report.layers
    assert {s.parameter for s in report.skipped} == set(tensors)
    assert report.summary.verdict == "full_rank"
    assert "4 adapters of rank up to 4 use" in report.summary.sentence


def test_what_is_no_adapter_is_a_layer_as_before() -> None:
    odd = {"x.lora_A.weight": random(8, 30), "y.lora_down.weight": random(4, 9)}
    mismatched = {"z.lora_A.weight": random(8, 30), "z.lora_B.weight": random(20, 7)}
    report = analyze({**odd, **mismatched})
    assert not report.adapters and len(report.layers) == 4


def test_a_factor_with_nan_is_named(tmp_path: Path) -> None:
    up = random(20, 8)
    up[3, 3] = math.nan
    report = analyze({"q.lora_A.weight": random(8, 30), "q.lora_B.weight": up})
    assert not report.adapters and report.summary.verdict == "invalid"
    assert "q.lora_B.weight: contains NaN" in report.summary.sentence


def test_they_are_in_every_file_and_come_back(tmp_path: Path) -> None:
    from allennlp_analyze import load

    report = analyze({"q.lora_A.weight": random(8, 30), "q.lora_B.weight": random(20, 8)})
    report.write(tmp_path / "out")
    loaded = load(tmp_path / "out")
    assert [a.name for a in loaded.adapters] == ["q"]
    assert loaded.adapters[0] == report.adapters[0]
    np.testing.assert_array_equal(
        loaded.adapters[0].singular_values, report.adapters[0].singular_values
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    text = words(page)
    assert f"1 adapter: {loaded.adapters[0].verdict.words}" in text
    assert f"q {loaded.adapters[0].reason}. norm {loaded.adapters[0].delta_norm:.3g}" in text
