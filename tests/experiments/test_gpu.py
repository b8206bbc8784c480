"""The script for a GPU, on the processor: all its steps, and what it says where there is no GPU."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.analysis.measure import Analysis, analyze
from allennlp_analyze.linalg.lanes import UPLOADED
from allennlp_analyze.settings import Settings
from scripts.benchmarks.gpu import device_of, main
from scripts.benchmarks.gpu_checks import PROMISED, agreement, cases
from scripts.benchmarks.work import WORKS, draw, layers_of
from tests.support.commands import ROOT
from tests.support.scripts import error_line, run_command, run_main

pytestmark = pytest.mark.newest_python
torch = pytest.importorskip("torch")
QUICK = ("--device", "cpu", "--quick")


def gpu_sh(*arguments: object) -> "subprocess.CompletedProcess[str]":
    script = ROOT / "scripts" / "benchmarks" / "gpu.sh"
    return run_command(script, *arguments, PYTHON=sys.executable)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Any]":
    path = tmp_path_factory.mktemp("gpu") / "new" / "gpu.json"
    done = gpu_sh(path, *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def test_every_step_is_taken_and_passed(found: "dict[str, Any]") -> None:
    assert found["passed"] and not found["not_run"] and found["quick"]
    steps = [one["step"] for one in found["steps"]]
    assert [f"check: {dtype}" for dtype in UPLOADED] == steps[: len(UPLOADED)]
    assert steps[-3:] == ["time: ner", "time: llama-block", "time: moe"]
    for one in found["steps"][:-3]:
        assert one["matrices"] > 1 and 0 < one["error"] <= PROMISED
        assert not one["differences"] and not one["warnings"]


def test_works_are_timed_on_both_and_compared(found: "dict[str, Any]") -> None:
    for work in found["steps"][-3:]:
        rounds = {name: len(seconds) for name, seconds in work["seconds"].items()}
        assert rounds == {"processor": 1, "overlapped, in groups": 3, "one at a time": 3}
        assert all(one > 0 for seconds in work["seconds"].values() for one in seconds)
        assert 0 < work["largest"]["seconds_of_eigenvalues"]
        assert [one["matrices"] for one in work["agreements"]] == [work["matrices"]] * 2
    stored = {work["work"]: work["stored_bytes"] for work in found["steps"][-3:]}
    assert stored["moe"] == 6 * 300 * 260 * 2  # bfloat16


def test_the_json_names_the_device_and_not_this_machine(found: "dict[str, Any]") -> None:
    assert found["device"]["name"] == "processor"
    text = json.dumps(found)
    assert os.uname().nodename not in text and str(ROOT) not in text and sys.prefix not in text


def test_without_a_gpu_one_line_says_so(tmp_path: Path) -> None:
    line = error_line(run_main(main, tmp_path / "gpu.json", "--device", "cuda:97"), 1)
    assert line.startswith("error: no GPU: torch ") and "cuda:97; nothing was measured" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["gpu", "mps", "meta"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^--device: {name!r} is"):
        device_of(name)


def test_what_was_measured_in_the_time_given_is_written(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    assert run_main(main, path, *QUICK, "--seconds", 0).returncode == 1
    found = json.loads(path.read_text())
    assert not found["passed"] and not found["steps"] and "time: moe" in found["not_run"]


def measured() -> Analysis:
    return analyze(layers_of(draw(WORKS["tiny-bfloat16"], 1), "bfloat16"), Settings(jobs=1))


def test_every_kind_of_difference_counts() -> None:
    expected = measured()
    assert agreement("same", expected, expected).passed
    first = expected.layers[0]
    values = first.singular_values.copy()
    values[-1] += 3e-7 * values[0]
    changed = {
        "a value": replace(first, singular_values=values),
        "not a number": replace(first, singular_values=values * np.nan),
        "a verdict": replace(first, verdict="collapsed"),
        "a rank": replace(first, hard_rank=replace(first.hard_rank, numpy=259)),
        "a name": replace(first, name="other"),
    }
    for case, layer in changed.items():
        found = replace(expected, layers=(layer, *expected.layers[1:]))
        assert not agreement(case, found, expected).passed, case
    assert not agreement("one less", replace(expected, layers=()), expected).passed
    assert not agreement("one more", expected, replace(expected, layers=())).passed
    assert not agreement("a warning", expected, expected, ["out of memory"]).passed


def test_the_cases_have_lost_ranks_and_invalid_values() -> None:
    of_case = {name: analyze(layers, Settings(jobs=1)) for name, layers in cases(quick=True)}
    verdicts = {one.name: one.verdict for one in of_case["lost ranks"].layers}
    assert verdicts["low-rank"] == "collapsed" and "full_rank" in verdicts.values()
    reasons = {one.parameter for one in of_case["invalid values"].skipped}
    assert reasons == {"nan.weight", "infinity.weight"}
    assert len(of_case["groups"].layers) == 11


def test_the_works_for_a_gpu_are_those_of_known_models() -> None:
    parameters = {name: sum(n * m for n, m in work.shapes) for name, work in WORKS.items()}
    # 32 blocks of Llama 3 8B with two embeddings of 128,256 words are 8.03 billion parameters.
    assert 32 * parameters["llama-block"] + 2 * 128_256 * 4096 == pytest.approx(8.03e9, rel=1e-3)
    # 48 blocks of Qwen3 30B-A3B are 30.5 billion, less embeddings and attention.
    assert 48 * parameters["moe"] == pytest.approx(29e9, rel=2e-2)


def test_a_work_in_bfloat16_is_stored_in_it() -> None:
    work = WORKS["tiny-bfloat16"]
    matrices = draw(work, 3)
    for matrix, layer in zip(matrices, layers_of(matrices, work.dtype)):
        assert layer.stored().dtype == np.uint16
        theirs = torch.from_numpy(layer.stored().view(np.int16)).view(torch.bfloat16)
        np.testing.assert_array_equal(theirs.float().numpy(), matrix)
        np.testing.assert_array_equal(layer.values(), matrix)
