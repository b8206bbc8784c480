"""A training's checkpoints by the real command: what began when, only what is new, and failures."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import load_file

from allennlp_analyze import analyze, load
from allennlp_analyze.cli.main import main
from allennlp_analyze.series.reports.json import series_schema
from tests.support.scripts import run_main
from tests.support.series_runs import checkpoint

pytestmark = pytest.mark.newest_python


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """`body` loses 12 of its 40 directions at step 20."""
    for step, lost in ((0, 0), (10, 0), (20, 12), (100, 12)):
        checkpoint(tmp_path / "run" / f"model-{step}.safetensors", lost, seed=1, size=1 + step)
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def series(tmp_path: Path, *arguments: object, code: int = 0) -> "tuple[str, str]":
    """The command in this process, which starts one that analyzes."""
    out = ("--output-dir", tmp_path / "out", "--workers", "1")
    done = run_main(main, "series", *arguments, *out)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def contents(tmp_path: Path) -> "dict[str, Any]":
    found: dict[str, Any] = json.loads((tmp_path / "out" / "series.json").read_text())
    jsonschema.validate(found, series_schema())
    return found


def test_what_began_when(training: Path, tmp_path: Path) -> None:
    said, _ = series(tmp_path, training)
    found = contents(tmp_path)
    assert (found["axis"], found["at"]) == ("step", [0, 10, 20, 100])
    body, head = sorted(found["layers"], key=lambda x: str(x["name"]))
    assert body["since"] == 2 and body["lost_directions"] == [0, 0, 12, 12]
    assert head["since"] is None and head["recovered"] is None
    assert "body: collapsed since model-20.safetensors" in " ".join(said.split())
    for index, one in enumerate(found["checkpoints"]):
        weights = load_file(training / one["label"])["body.weight"]
        report = load(tmp_path / "out" / one["directory"])
        assert body["min_singular_value"][index] == report.layer("body").min_singular_value
        sigma = np.linalg.svd(weights, compute_uv=False)
        assert body["spectral_norm"][index] == pytest.approx(sigma[0], rel=1e-10)
        rms = math.sqrt((weights**2).mean())
        assert body["rms"][index] == pytest.approx(rms, rel=1e-10)
        assert body["rms_ratio"][index] == pytest.approx(rms / body["rms"][0], rel=1e-10)
        assert body["stable_rank"][index] == pytest.approx((sigma**2).sum() / sigma[0] ** 2)
        assert one["verdict"] == analyze(training / one["label"]).summary.verdict


def test_only_what_is_new_is_analyzed(training: Path, tmp_path: Path) -> None:
    assert "4 analyzed now" in series(tmp_path, training)[0]
    assert "0 analyzed now" in series(tmp_path, training)[0]
    checkpoint(training / "model-200.safetensors")
    said = series(tmp_path, training)[0]
    assert "1 analyzed now" in said and "full_rank" in said.splitlines()[-6]
    checkpoint(training / "model-10.safetensors", lost=5)  # replaced
    assert "1 analyzed now" in series(tmp_path, training)[0]
    layers = {x["name"]: x for x in contents(tmp_path)["layers"]}
    assert layers["body"]["lost_directions"] == [0, 5, 12, 12, 0]
    assert layers["body"]["since"] is None and layers["body"]["recovered"] == 3
    assert "5 analyzed now" in series(tmp_path, training, "--force")[0]


def test_what_a_trainer_deletes_is_kept(training: Path, tmp_path: Path) -> None:
    series(tmp_path, training)
    before = contents(tmp_path)["layers"]
    (training / "model-0.safetensors").unlink()
    (training / "model-20.safetensors").unlink()
    checkpoint(training / "model-300.safetensors", 12, seed=1)
    assert "1 analyzed now" in series(tmp_path, training)[0]
    found = contents(tmp_path)
    assert found["at"] == [0, 10, 20, 100, 300]
    assert [x["lost_directions"][:4] for x in found["layers"]] == [
        x["lost_directions"] for x in before
    ]
    series(tmp_path, training, "--force")
    assert contents(tmp_path)["at"] == [10, 100, 300]


def test_given_checkpoints_keep_their_order(tmp_path: Path) -> None:
    """Names without a common form say nothing of the order."""
    paths = [
        checkpoint(tmp_path / f"{name}.safetensors", lost, seed=1)
        for name, lost in (("warmup", 0), ("main_1", 0), ("final_best", 12))
    ]
    for _ in range(2):
        series(tmp_path, *paths)
        found = contents(tmp_path)
        names = [one["label"].partition(".")[0] for one in found["checkpoints"]]
        assert [name.rpartition("/")[2] for name in names] == ["warmup", "main_1", "final_best"]
        assert {x["name"]: x["since"] for x in found["layers"]} == {"head": None, "body": 2}


def test_a_damaged_checkpoint_is_named(training: Path, tmp_path: Path) -> None:
    (training / "model-10.safetensors").write_bytes(b"not a model at all, but 30 bytes")
    said = " ".join(series(tmp_path, training, code=1)[0].split())
    assert "model-10.safetensors: " in said and "1 checkpoint could not be analyzed" in said
    found = contents(tmp_path)
    assert found["checkpoints"][1]["verdict"] is None and found["checkpoints"][1]["reason"]
    assert [x["lost_directions"][1] for x in found["layers"]] == [None, None]


def test_it_fails_as_a_check(training: Path, tmp_path: Path) -> None:
    _, said = series(tmp_path, training, "--fail-on", "collapsed", "--quiet", code=3)
    assert said.startswith("failed: body: collapsed since model-20.safetensors")
    shutil.rmtree(tmp_path / "out")
    series(tmp_path, training, "--fail-on", "collapsed", "--layers", "head")


def test_json_is_the_file(training: Path, tmp_path: Path) -> None:
    said, _ = series(tmp_path, training, "--json")
    assert json.loads(said) == contents(tmp_path)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["empty"], "empty: no checkpoints with numbers in their names; name several, in order"),
        (["empty", "--interval", "3"], "--interval: applies to --watch only"),
        (["nowhere"], "nowhere: expected the directory of a training, or several checkpoints"),
    ],
)
def test_bad_arguments(arguments: "list[str]", text: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said, errors = series(tmp_path, *arguments, code=2)
    assert (said, errors) == ("", f"error: {text}\n")
    assert not (tmp_path / "out").exists()
