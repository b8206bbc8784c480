"""The handed cases (../shared/cases) are answered as their right.json says."""

import importlib.util
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from allennlp_analyze import Report, analyze
from tests.support.corpus import SHARED

pytestmark = pytest.mark.newest_python
MAKER = SHARED / "cases" / "make_cases.py"


def answered(name: str, directory: Path) -> "tuple[Report, Any]":
    """The report on a case, and what is right."""
    if not MAKER.is_file():
        pytest.skip("the handed cases (../shared/cases) are not on this machine")
    pytest.importorskip("ml_dtypes")
    spec = importlib.util.spec_from_file_location("make_cases", MAKER)
    assert spec is not None and spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    folder = directory / name
    cases.CASES[name](folder, np.random.default_rng(sum(map(ord, name))))
    right = json.loads((folder / "right.json").read_text())["right"]
    return analyze(folder), right


def lost(report: Report) -> "dict[str, int]":
    """The lost directions of every layer that has any, by parameter and part."""
    return {
        f"{layer.parameter}[{layer.part}]" if layer.part else layer.parameter: layer.lost_directions
        for layer in report.layers
        if layer.lost_directions
    }


@pytest.mark.parametrize(
    "name",
    "square_collapsed square_healthy_bfloat16 fused_columns fused_rows not_learned padding_row"
    " decayed_away softmax_head".split(),
)
def test_verdict_and_lost_directions(name: str, tmp_path: Path) -> None:
    report, right = answered(name, tmp_path)
    assert report.summary.verdict == right["verdict"]
    assert lost(report) == right.get("lost", lost(report) if "cause" in right else {})


def test_an_expert_of_rank_one_has_lost_the_others(tmp_path: Path) -> None:
    report, right = answered("fused_experts", tmp_path)
    assert report.summary.verdict == right["verdict"]
    assert right["lost"].items() <= lost(report).items()
    assert {layer.kind for layer in report.layers if "experts" in layer.name} == {"linear"}


def test_dead_units_are_named_and_followed(tmp_path: Path) -> None:
    report, right = answered("dead_units", tmp_path)
    assert lost(report) == right["lost"]
    assert report.summary.verdict == "dead_units"
    reasons = {layer.parameter: layer.evidence.reason for layer in report.layers if layer.evidence}
    assert right["cause"]["fc1.weight"] in reasons["fc1.weight"]
    assert "dead inputs 3, 40, 41, 90, 127, no direction lost" in reasons["fc2.weight"]


def test_softmax_does_not_see_the_constant(tmp_path: Path) -> None:
    report, right = answered("softmax_head", tmp_path)
    for parameter in right["harmless"]:
        evidence = report.layer(parameter).evidence
        assert evidence is not None and evidence.harmless_directions == 1
        [finding] = evidence.findings
        assert (finding.cause, finding.is_harmless) == ("softmax", True)
        assert finding.evidence == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", ["lora_untrained", "lora_concentrated", "lora_kohya"])
def test_adapters(name: str, tmp_path: Path) -> None:
    report, right = answered(name, tmp_path)
    assert report.summary.verdict == right["verdict"]
    assert report.adapters and not report.layers
    if name == "lora_concentrated":
        assert all((a.first_direction_share or 0) > 0.9 for a in report.adapters)
    else:
        assert all(a.delta_norm == 0 for a in report.adapters)


def test_a_small_part_of_the_weights_is_never_healthy(tmp_path: Path) -> None:
    answered("packed_4bit", tmp_path)
    tensors = load_file(tmp_path / "packed_4bit" / "model.safetensors")
    report = analyze({name: x for name, x in tensors.items() if not name.endswith("scales")})
    assert report.summary.verdict == "not_assessed"
    assert report.summary.judged_percent == pytest.approx(39, abs=1)
    assert {layer.name for layer in report.layers} == {"lm_head"}
    assert any("no scales" in tensor.reason for tensor in report.skipped)


def test_float8_with_scales_of_blocks(tmp_path: Path) -> None:
    report, right = answered("fp8_blocks", tmp_path)
    [layer] = report.layers
    assert layer.verdict == "full_rank"
    assert layer.singular_values[-1] == pytest.approx(right["min_singular_value"], rel=1e-6)
    assert layer.evidence is not None and 0 < layer.evidence.noise_floor < 0.064


def test_packed_weights_are_read(tmp_path: Path) -> None:
    report, _ = answered("packed_4bit", tmp_path)
    packed, head = report.layers
    assert packed.shape == (1536, 384) and packed.parameter.endswith("up_proj.weight")
    assert packed.evidence is not None and packed.evidence.noise_floor > 0
    assert head.evidence is not None and head.evidence.noise_floor is None
    assert report.summary.judged_percent == 100
    assert {tensor.reason for tensor in report.skipped} == {"part of a quantized weight"}


def reported(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files of a case from a bug report into `directory`."""
    maker = SHARED / "cases" / "reports" / name / "make.py"
    if not maker.is_file():
        pytest.skip("the handed cases (../shared/cases) are not on this machine")
    monkeypatch.chdir(directory)
    runpy.run_path(str(maker))


def test_report_03(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported("03-fp8-block-scales", tmp_path, monkeypatch)
    report = analyze(tmp_path / "fp8")
    verdicts = {layer.name.rpartition(".")[2]: layer.verdict for layer in report.layers}
    assert verdicts.pop("down_proj") == "collapsed" and set(verdicts.values()) == {"full_rank"}
    assert len(verdicts) == 3
    assert report.layer("model.layers.0.mlp.down_proj").lost_directions == 128


def test_report_04(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported("04-packed-body-healthy", tmp_path, monkeypatch)
    gptq, bnb, mx = (
        analyze(tmp_path / f"{name}.safetensors") for name in ("gptq", "bnb-4bit", "mxfp4")
    )
    assert len(gptq.layers) == 8 and len(mx.layers) == 10
    assert not any("scales" in layer.name for report in (gptq, bnb, mx) for layer in report.layers)
    # It says neither shapes nor sizes of blocks.
    assert bnb.summary.verdict == "not_assessed" and len(bnb.layers) == 2
    assert any("quant_state" in tensor.reason for tensor in bnb.skipped)
