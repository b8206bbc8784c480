"""A base model: what was lost since counts, and adapters beside its weights are as in numpy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze import analyze, load
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import UsageError
from allennlp_analyze.matrices.counterparts import counterparts
from allennlp_analyze.reports.json import schema, to_json_dict
from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.verdict import Verdict

pytestmark = pytest.mark.newest_python
safetensors = pytest.importorskip("safetensors.numpy")
jsonschema = pytest.importorskip("jsonschema")
N, M = 60, 40


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) * 0.05


def cut(matrix: np.ndarray, count: int) -> np.ndarray:
    """`matrix` without its `count` smallest directions."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s[len(s) - count :] = 0
    return np.asarray((u * s) @ vt)


def layer(trained: np.ndarray, start: np.ndarray, **more: Any) -> Any:
    tensors = {"a.weight": trained, **more}
    return analyze(tensors, base={"a.weight": start, **more}).layer("a")


def test_what_the_base_model_had_lost_already_does_not_count() -> None:
    start = cut(random(N, M), 10)
    assert analyze({"a.weight": start}).layer("a").verdict is Verdict.COLLAPSED
    trained = start @ (np.eye(M) + random(M, M, seed=1))
    found = layer(trained, start)
    assert (found.verdict, found.lost_directions) == (Verdict.FULL_RANK, 0)
    assert found.evidence.base_lost == found.evidence.harmless_directions == 10
    assert "10 of 40 directions already" in found.evidence.reason


def test_what_was_lost_since_counts() -> None:
    found = layer(cut(random(N, M), 15), cut(random(N, M), 10))
    assert (found.verdict, found.lost_directions) == (Verdict.COLLAPSED, 5)


def test_a_layer_that_started_at_zero_has_gained_what_it_has() -> None:
    grown = cut(random(N, M), M - 6)
    assert analyze({"a.weight": grown}).layer("a").verdict is Verdict.COLLAPSED
    assert layer(grown, np.zeros((N, M))).verdict is Verdict.FULL_RANK


@pytest.mark.parametrize("is_normalized", [False, True])
def test_decay_is_relative_to_the_base_model(is_normalized: bool) -> None:
    """A start of a thousand times the usual one hides from the weights alone that they decayed."""
    start = 1000 * random(N, M)
    norm = {"a_norm.weight": np.ones(N), "a_norm.bias": np.zeros(N)} if is_normalized else {}
    assert analyze({"a.weight": start * 1e-4, **norm}).layer("a").verdict is Verdict.FULL_RANK
    found = layer(start * 1e-4, start, **norm)
    assert found.evidence.base_ratio == pytest.approx(1e-4)
    causes = [finding.cause for finding in found.evidence.findings]
    if is_normalized:
        assert (found.verdict, found.lost_directions) == (Verdict.FULL_RANK, 0)
        assert causes == [Cause.SMALL_BUT_NORMALIZED]
    else:
        assert (found.verdict, found.lost_directions) == (Verdict.COLLAPSED, M)
        assert causes == [Cause.DECAYED]


def test_layers_without_a_counterpart_are_named() -> None:
    tensors = {"a.weight": random(N, M), "b.weight": random(N, M), "c.weight": random(N, M)}
    base = {"a.weight": random(N, M), "b.weight": random(M, N)}
    report = analyze(tensors, base=base)
    assert "2 layers without a counterpart in the base model: b and 1 more" in report.warnings
    assert [x.evidence.base_lost for x in report.layers if x.evidence] == [0, None, None]


@settings(max_examples=30)
@given(
    st.integers(2, 12),
    st.integers(2, 12),
    st.integers(1, 4),
    st.floats(0.01, 100),
    st.integers(0, 99),
)
def test_intruders_are_those_of_the_sum_by_numpy(
    outputs: int, inputs: int, r: int, scale: float, seed: int
) -> None:
    check_intruders(outputs, inputs, r, scale, seed)


@pytest.mark.parametrize("scale", [0.5, 5.0, 500.0])
@pytest.mark.parametrize("shape", [(150, 90), (90, 150), (80, 80)])
def test_intruders_of_large_layers_are_those_of_the_sum_by_numpy(
    shape: "tuple[int, int]", scale: float
) -> None:
    check_intruders(*shape, 4, scale, 0)


def check_intruders(outputs: int, inputs: int, r: int, scale: float, seed: int) -> None:
    down, up = random(r, inputs, seed=seed), scale * random(outputs, r, seed=seed + 1)
    weight = random(outputs, inputs, seed=seed + 2)
    tensors = {"base_model.model.m.x.lora_A.weight": down, "base_model.model.m.x.lora_B.weight": up}
    [adapter] = analyze(tensors, base={"m.x.weight": weight}).adapters
    assert adapter.base is not None and adapter.base.parameter == "m.x.weight"
    delta = up @ down  # alpha is not known, so the scale is 1
    ratio = np.linalg.norm(delta) / np.linalg.norm(weight)
    assert adapter.base.relative_norm == pytest.approx(ratio)
    before = np.linalg.svd(weight, full_matrices=False)[0]
    after = np.linalg.svd(weight + delta, full_matrices=False)[0][:, : adapter.base.n_top]
    cosines = np.max(np.abs(before.T @ after), axis=0)
    sure = np.abs(cosines - 0.5) > 1e-6
    expected = int((cosines[sure] < 0.5).sum())
    assert expected <= adapter.base.intruder_dimensions <= expected + int((~sure).sum())


def test_an_adapter_of_conv1d_is_beside_inputs_by_outputs(tmp_path: Path) -> None:
    down, up = random(2, 30), random(30, 2, seed=1)
    safetensors.save_file(
        {"h.0.c.lora_A.weight": down, "h.0.c.lora_B.weight": up},
        tmp_path / "adapter_model.safetensors",
    )
    config = {"lora_alpha": 2, "r": 2, "fan_in_fan_out": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    # Along the adapter's own directions its change is no intruder; transposed it is one.
    weight = 20 * (up @ down).T + 1e-3 * random(30, 30, seed=2)
    [adapter] = analyze(tmp_path, base={"h.0.c.weight": weight}).adapters
    assert adapter.base is not None
    assert adapter.base.intruder_dimensions == 0
    assert adapter.base.relative_norm == pytest.approx(0.05, rel=0.01)


def test_adapters_without_weights_in_the_base_model_are_named() -> None:
    tensors = {"x.lora_down.weight": random(2, 9), "x.lora_up.weight": random(8, 2)}
    report = analyze(tensors, base={"x.weight": random(9, 9)})
    assert report.adapters[0].base is None
    assert "1 adapter without weights in the base model: x" in report.warnings


def test_the_command_and_its_report_have_it(tmp_path: Path, capsys: Any) -> None:
    trained, start, out = (tmp_path / name for name in ("new.safetensors", "old.safetensors", "o"))
    safetensors.save_file({"a.weight": cut(random(N, M), 10)}, start)
    safetensors.save_file({"a.weight": cut(random(N, M), 12)}, trained)
    arguments = [str(trained), "--base", str(start), "--output-dir", str(out), "--no-plots"]
    assert main(arguments) == 0
    assert "the base model has lost 10 of 40 directions already" in capsys.readouterr().out
    report = load(out)
    assert report.settings["base"] == str(start)
    evidence = report.layer("a").evidence
    assert evidence is not None and (evidence.base_lost, evidence.lost_directions) == (10, 2)
    jsonschema.validate(to_json_dict(report), schema())
    header, row = (out / "layers.csv").read_text().splitlines()[:2]
    assert dict(zip(header.split(","), row.split(",")))["base_lost"] == "10"


def test_a_missing_base_model_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: Any
) -> None:
    trained = tmp_path / "new.safetensors"
    safetensors.save_file({"a.weight": random(N, M)}, trained)
    out = tmp_path / "out"
    code = main([str(trained), "--base", str(tmp_path / "no"), "--output-dir", str(out)])
    said = capsys.readouterr().err
    assert code == 2 and len(said.splitlines()) == 1 and str(tmp_path / "no") in said
    assert not out.exists()


def test_the_library_refuses_what_is_no_model() -> None:
    with pytest.raises(UsageError, match="base: a model of type int"):
        analyze({"a": random(3, 3)}, base=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("a.b", ["a.b", "x.a.b"], "a.b"),
        ("a.b", ["x.a.b"], "x.a.b"),
        ("a.b", ["x.a.b", "y.a.b"], None),
        ("x.a.b", ["a.b", "b"], "a.b"),
        ("a.b", ["ab", "xa.b"], None),
        ("base_model.model.a.b", ["a.b"], "a.b"),
        ("base_model.model.a.b", ["model.a.b"], "model.a.b"),
        ("lora_unet_down_0_proj_in", ["down.0.proj_in"], "down.0.proj_in"),
    ],
)
def test_names_are_paired(name: str, others: "list[str]", expected: "str | None") -> None:
    assert counterparts([name], others).get(name) == expected
