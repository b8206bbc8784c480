"""The largest logits are those of the explicit products, and inputs that reach them exist."""

import json
import math
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from allennlp_analyze import analyze, load
from allennlp_analyze.cli.main import main
from allennlp_analyze.compare.reports.json import comparison_schema
from allennlp_analyze.matrices.attention import NO_HEADS
from allennlp_analyze.reports.json import schema, to_json_dict

pytestmark = pytest.mark.newest_python
safetensors = pytest.importorskip("safetensors.numpy")
D, HEADS, KEYS, SIZE = 24, 4, 2, 6
CONFIG = {"model_type": "llama", "hidden_size": D, "num_attention_heads": HEADS,
          "num_key_value_heads": KEYS}  # fmt: skip


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def saved(directory: Path, tensors: "dict[str, np.ndarray]", config: "dict[str, Any]") -> Path:
    directory.mkdir(exist_ok=True)
    safetensors.save_file(tensors, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def llama(scale: float = 1.0, **more: np.ndarray) -> "dict[str, np.ndarray]":
    return {
        "model.layers.0.self_attn.q_proj.weight": scale * random(HEADS * SIZE, D),
        "model.layers.0.self_attn.k_proj.weight": random(KEYS * SIZE, D, seed=1),
        **more,
    }


GAIN = {"model.layers.0.input_layernorm.weight": 1 + 0.3 * random(D, seed=2)}


def forms(tensors: "dict[str, np.ndarray]") -> "list[np.ndarray]":
    """W_q,h^T W_k,h of every head of queries, formed."""
    q, k = (tensors[f"model.layers.0.self_attn.{x}_proj.weight"] for x in "qk")
    q, k = q.reshape(HEADS, SIZE, D), k.reshape(KEYS, SIZE, D)
    return [q[h].T @ k[h * KEYS // HEADS] for h in range(HEADS)]


def test_grouped_heads_without_a_normalization(tmp_path: Path) -> None:
    [block] = analyze(saved(tmp_path / "m", llama(), CONFIG)).attention
    assert (block.name, block.norm, block.max_logits) == ("model.layers.0.self_attn", None, None)
    assert (block.n_heads, block.n_key_heads, block.head_size) == (HEADS, KEYS, SIZE)
    expected = [np.linalg.norm(form, 2) / math.sqrt(SIZE) for form in forms(llama())]
    np.testing.assert_allclose(block.unit_logits, expected, rtol=1e-12)


def test_after_rms_norm_the_largest_logit_is_reached_and_not_passed(tmp_path: Path) -> None:
    [block] = analyze(saved(tmp_path / "m", llama(**GAIN), CONFIG)).attention
    assert block.norm == "model.layers.0.input_layernorm.weight" and block.max_logits is not None
    gain = GAIN[block.norm]
    for found, form in zip(block.max_logits, forms(llama())):
        left, _, right = np.linalg.svd(gain[:, None] * form * gain)
        assert logits(form, gain, left[:, :1].T, right[:1])[0] == pytest.approx(found, rel=1e-12)
        others = random(500, D, seed=3), random(500, D, seed=4)
        assert logits(form, gain, *others).max() < found


def logits(form: np.ndarray, gain: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    """What attention computes of the rows of x and y after an RMSNorm."""
    x, y = (gain * v / np.sqrt(np.mean(v**2, axis=-1, keepdims=True)) for v in (x, y))
    return np.einsum("ni,ij,nj->n", x, form, y) / math.sqrt(SIZE)


def test_after_layer_norm_of_torch_the_largest_logit_is_reached(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    gain = 1 + 0.3 * random(D, seed=2)
    name = "h.0.ln_1"
    # GPT-2's Conv1D: inputs x outputs, with query, key and value in turn.
    fused = random(D, 3 * D)
    tensors = {"h.0.attn.c_attn.weight": fused, "h.0.attn.c_attn.bias": np.zeros(3 * D),
               f"{name}.weight": gain, f"{name}.bias": np.zeros(D)}  # fmt: skip
    config = {"model_type": "gpt2", "n_embd": D, "n_head": HEADS}
    [block] = analyze(saved(tmp_path / "m", tensors, config)).attention
    assert block.max_logits is not None and len(block.max_logits) == HEADS
    norm = torch.nn.LayerNorm(D, eps=1e-12).double()
    norm.weight.data = torch.tensor(gain)
    centre = np.eye(D) - 1 / D
    for head, found in enumerate(block.max_logits):
        own = slice(head * SIZE, (head + 1) * SIZE)
        q, k = fused[:, :D][:, own].T, fused[:, D : 2 * D][:, own].T
        left, _, right = np.linalg.svd(centre @ (gain[:, None] * (q.T @ k) * gain) @ centre)
        x, y = (norm(torch.tensor(v)).detach().numpy() for v in (left[:, 0], right[0]))
        assert (q @ x) @ (k @ y) / math.sqrt(SIZE) == pytest.approx(found, rel=1e-9)


def test_normalized_queries_and_keys_have_a_bound_of_their_own(tmp_path: Path) -> None:
    gains = [1 + 0.3 * random(SIZE, seed=5), 1 + 0.3 * random(SIZE, seed=6)]
    own = {f"model.layers.0.self_attn.{x}_norm.weight": g for x, g in zip("qk", gains)}
    [block] = analyze(saved(tmp_path / "m", llama(**GAIN, **own), CONFIG)).attention
    best = int(np.argmax(np.abs(gains[0] * gains[1])))
    expected = SIZE * abs(gains[0][best] * gains[1][best]) / math.sqrt(SIZE)
    assert block.max_logits == pytest.approx([expected] * HEADS)
    wide = {f"model.layers.0.self_attn.{x}_norm.weight": np.ones(n * SIZE)
            for x, n in (("q", HEADS), ("k", KEYS))}  # fmt: skip
    [block] = analyze(saved(tmp_path / "n", llama(**wide), CONFIG)).attention
    assert block.reason == "queries or keys are normalized over all heads together"


@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ({"query_pre_attn_scalar": 100}, 0.1),
        ({"attention_multiplier": 0.5}, 0.5),
        ({"model_type": "t5"}, 1.0),
    ],
)
def test_other_scales(changes: "dict[str, Any]", scale: float, tmp_path: Path) -> None:
    [block] = analyze(saved(tmp_path / "m", llama(), {**CONFIG, **changes})).attention
    assert block.scale == pytest.approx(scale)
    assert block.unit_logits[0] == pytest.approx(scale * np.linalg.norm(forms(llama())[0], 2))


def test_gemma_multiplies_by_one_more_than_its_gain(tmp_path: Path) -> None:
    small = {name: gain - 1 for name, gain in GAIN.items()}
    config = {**CONFIG, "model_type": "gemma"}
    [gemma] = analyze(saved(tmp_path / "g", llama(**small), config)).attention
    [other] = analyze(saved(tmp_path / "m", llama(**GAIN), CONFIG)).attention
    assert gemma.max_logits == pytest.approx(other.max_logits)


@pytest.mark.parametrize(
    ("tensors", "config", "reason"),
    [
        (llama(), {}, NO_HEADS),
        ({"attn.in_proj_weight": random(3 * D, D)}, {}, NO_HEADS),
        (
            {"a.attention.query_key_value.weight": random(3 * D, D)},
            {"model_type": "unheard"},
            "it is not known where query and key are in its tensor",
        ),
        (
            {"a.self_attn.q_proj.weight": random(D, D),
             "a.self_attn.kv_a_proj_with_mqa.weight": random(10, D)},
            CONFIG,
            "its keys are latent (MLA)",
        ),
    ],
)  # fmt: skip
def test_what_is_not_computed_has_its_reason(
    tensors: "dict[str, np.ndarray]", config: "dict[str, Any]", reason: str, tmp_path: Path
) -> None:
    [block] = analyze(saved(tmp_path / "m", tensors, config)).attention
    assert (block.reason, block.unit_logits, block.max_logits) == (reason, (), None)


def test_the_report_has_them_and_the_terminal_only_what_is_notable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for scale, words in ((1.0, ""), (1e-4, "4 of 4 heads cannot prefer any key"),
                         (1e5, "4 of 4 heads can have logits that are infinite")):  # fmt: skip
        model = saved(tmp_path / f"m{scale}", llama(scale, **GAIN), CONFIG)
        out = tmp_path / f"out{scale}"
        assert main([str(model), "--output-dir", str(out), "--no-plots"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert words in said and ("Attention:" in said) == bool(words)
        report = load(out)
        assert report.attention == analyze(model).attention
        contents = to_json_dict(report)
        jsonschema.validate(contents, schema())
    assert "attention" not in to_json_dict(analyze({"a.weight": random(9, 9)}))


def test_growth_between_two_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grown = llama(**GAIN)
    grown["model.layers.0.self_attn.q_proj.weight"][SIZE : 2 * SIZE] *= 3
    models = [saved(tmp_path / "a", llama(**GAIN), CONFIG), saved(tmp_path / "b", grown, CONFIG)]
    assert main(["compare", *map(str, models), "--json"]) == 0
    contents = json.loads(capsys.readouterr().out)
    jsonschema.validate(contents, comparison_schema())
    [block] = contents["candidates"][0]["attention"]
    assert block["ratios"] == pytest.approx([1, 3, 1, 1])
    assert main(["compare", *map(str, models)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "grew most in model.layers.0.self_attn, head 1" in said and "(3 times)" in said
    assert main(["compare", str(models[0]), str(models[0])]) == 0
    assert "grew" not in capsys.readouterr().out


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["input_layernorm", "self_attn.q_norm"])
def test_a_gain_that_is_not_finite_makes_the_model_invalid(
    name: str, value: float, tmp_path: Path
) -> None:
    norms = ("input_layernorm", "self_attn.q_norm", "self_attn.k_norm")
    sizes = (D, SIZE, SIZE)
    gains = {f"model.layers.0.{x}.weight": np.ones(n) for x, n in zip(norms, sizes)}
    gains[f"model.layers.0.{name}.weight"][1] = value
    if name == "input_layernorm":  # queries and keys that are normalized do not depend on it
        del gains["model.layers.0.self_attn.q_norm.weight"]
    report = analyze(saved(tmp_path / "m", llama(**gains), CONFIG))
    assert report.summary.verdict == "invalid"
    [block] = report.attention
    assert block.reason == f"model.layers.0.{name}.weight contains NaN or infinity"
    assert block.unit_logits == () and block.max_logits is None


def test_logits_beyond_float64_are_not_given(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    [block] = analyze(saved(tmp_path / "m", llama(1e300, **GAIN), CONFIG)).attention
    tensors = llama(1e160)
    tensors["model.layers.0.self_attn.k_proj.weight"] *= 1e160
    [other] = analyze(saved(tmp_path / "n", tensors, CONFIG)).attention
    assert other.reason == "its logits are beyond the range of float64"
    assert block.reason is None and np.isfinite(block.unit_logits).all()
    assert capfd.readouterr().err == ""


def test_matrices_that_are_too_large_have_no_logits(tmp_path: Path) -> None:
    path = saved(tmp_path / "m", {**llama(), "head.weight": random(30, 8)}, CONFIG)
    assert len(analyze(path).attention) == 1
    assert analyze(path, max_dim=8).attention == ()


def test_the_time_of_the_logits_is_told(tmp_path: Path) -> None:
    """The stages add up to the time of the analysis, most of which is that of the logits."""
    size = 600
    tensors = {
        f"model.layers.0.self_attn.{x}_proj.weight": random(size, size, seed=seed)
        for seed, x in enumerate("qk")
    }
    config = {**CONFIG, "hidden_size": size, "num_attention_heads": 1, "num_key_value_heads": 1}
    path = saved(tmp_path / "m", tensors, config)
    shares = []
    for _ in range(3):
        began = time.perf_counter()
        report = analyze(path)
        told = report.timing.read + report.timing.spectra + report.timing.fits
        shares.append(told / (time.perf_counter() - began))
    assert report.attention[0].max_logits is None and report.attention[0].unit_logits
    assert max(shares) > 0.9
