"""The checkpoints of one training count once in a zoo, from a directory and from a manifest."""

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from allennlp_analyze.cli.main import main
from allennlp_analyze.series.finding import find_series
from allennlp_analyze.zoo.reports.json import zoo_schema

pytestmark = pytest.mark.newest_python
torch = pytest.importorskip("torch")
jsonschema = pytest.importorskip("jsonschema")


def save(path: Path, seed: int, columns: int = 8, collapsed: bool = False) -> Path:
    """A network as `torch.save` writes its state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(columns, 20), torch.nn.ReLU(), torch.nn.Linear(20, 9))
    if collapsed:
        torch.nn.init.zeros_(net[2].weight[:4])
    torch.save(net.state_dict(), path)
    return path


def zoo(tmp_path: Path, *arguments: object) -> "tuple[int, dict[str, Any]]":
    out = tmp_path / "out"
    code = main(["zoo", *map(str, arguments), "--output-dir", str(out), "--workers", "1"])
    written = json.loads((out / "zoo.json").read_text())
    jsonschema.Draft202012Validator(zoo_schema()).validate(written)
    return code, written


def names(written: "dict[str, Any]") -> "list[str]":
    return [model["name"] for model in written["models"]]


def steps(run: Path, *numbers: int) -> Path:
    for step in numbers:
        save(run / f"ckpt_{step}.pt", step)
    return run


def test_of_a_directory_the_last_one_is_analyzed_and_the_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps(tmp_path / "zoo" / "run", 200, 1000, 300)
    save(tmp_path / "zoo" / "other.pt", 5)
    code, written = zoo(tmp_path, tmp_path / "zoo")
    assert code == 0 and names(written) == ["other", "run/ckpt_1000"]
    (run,) = written["runs"]
    assert run["model"] == "run/ckpt_1000" and run["listed"] == []
    assert run["not_analyzed"] == ["run/ckpt_200.pt", "run/ckpt_300.pt"]
    assert written["totals"]["n_models"] == written["totals"]["n_counted"] == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 other checkpoints of the same trainings not counted" in printed
    assert f"allennlp-analyze series {tmp_path / 'zoo' / 'run'}" in printed.replace("` ", "`")
    followed = find_series([run["follow"]]).checkpoints
    assert [x.label for x in followed] == ["ckpt_200.pt", "ckpt_300.pt", "ckpt_1000.pt"]
    table = pandas.read_csv(tmp_path / "out" / "zoo-models.csv").set_index("model")
    assert table["other_checkpoints"]["run/ckpt_1000"] == "run/ckpt_200.pt; run/ckpt_300.pt"
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Trainings (1)" in page and "2 other checkpoints not analyzed" in page
    capsys.readouterr()
    _, every = zoo(tmp_path, tmp_path / "zoo", "--every-checkpoint", "--force")
    assert len(every["models"]) == every["totals"]["n_counted"] == 4 and every["runs"] == []


def test_resume_takes_the_newer_one_and_keeps_the_rest(tmp_path: Path) -> None:
    run = steps(tmp_path / "zoo", 1, 2)
    save(run / "other.pt", 5)
    zoo(tmp_path, run)
    report = tmp_path / "out" / "models" / "other" / "report.json"
    before = report.stat().st_mtime_ns
    steps(run, 3)
    _, written = zoo(tmp_path, run, "--resume")
    assert names(written) == ["ckpt_3", "other"] and report.stat().st_mtime_ns == before
    assert written["runs"][0]["not_analyzed"] == ["ckpt_1.pt", "ckpt_2.pt"]


def test_other_numbers_and_other_shapes_are_other_models(tmp_path: Path) -> None:
    pairs = (
        ("model_a.pt", "model_b.pt"),
        ("layer1.pt", "layer2.pt"),
        ("bert-3.pt", "bert-4.pt"),
        ("v1.pt", "v2.pt"),
    )
    for pair in pairs:
        for seed, name in enumerate(pair):
            save(tmp_path / "zoo" / pair[0][:5] / name, seed)
    save(tmp_path / "zoo" / "shapes" / "step_1.pt", 1, columns=8)
    save(tmp_path / "zoo" / "shapes" / "step_2.pt", 2, columns=9)
    _, written = zoo(tmp_path, tmp_path / "zoo")
    assert len(names(written)) == 2 * len(pairs) + 2 and written["runs"] == []


def test_a_damaged_checkpoint_stands_for_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fails under its own name, and the last good one is counted."""
    run = steps(tmp_path / "zoo", 1, 2, 3)
    whole = (run / "ckpt_3.pt").read_bytes()
    (run / "ckpt_3.pt").write_bytes(whole[: len(whole) // 2])
    code, written = zoo(tmp_path, run)
    assert code == 1 and names(written) == ["ckpt_2", "ckpt_3"]
    assert [model["status"] for model in written["models"]] == ["done", "failed"]


def listed(tmp_path: Path, *paths: Path) -> Path:
    manifest = tmp_path / "list.yaml"
    manifest.write_text("".join(f"- {path}\n" for path in paths))
    return manifest


def test_a_manifest_shows_all_of_them_and_counts_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only an early one has collapsed, which a later one mended: the run does not fail."""
    run = tmp_path / "run"
    early = save(run / "step_1.pt", 1, collapsed=True)
    late, last = save(run / "step_20.pt", 2), save(run / "step_100.pt", 3)
    alone = save(tmp_path / "alone.pt", 4)
    manifest = listed(tmp_path, last, early, alone, late)
    code, written = zoo(tmp_path, manifest, "--fail-on", "near_collapse")
    assert code == 0
    of = {model["name"]: model for model in written["models"]}
    assert of["step_1"]["summary"]["verdict"] not in ("full_rank", "untrained")
    assert {name: model["checkpoint_of"] for name, model in of.items()} == {
        "step_100": None,
        "alone": None,
        **dict.fromkeys(("step_1", "step_20"), "step_100"),
    }
    totals = written["totals"]
    assert (totals["n_models"], totals["n_checkpoints"], totals["n_counted"]) == (4, 2, 2)
    assert totals["n_layers"] == 4 and sum(totals["models_by_verdict"].values()) == 2
    assert written["runs"][0]["listed"] == ["step_1", "step_20"]
    assert written["runs"][0]["follow"] == f"{run}/step_*.pt"
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("(checkpoint)") == 2
    assert "2 other checkpoints of the same trainings not counted" in printed
    layers = pandas.read_csv(tmp_path / "out" / "zoo.csv")
    assert layers["checkpoint_of"].notna().sum() == 4
    code, written = zoo(
        tmp_path, manifest, "--fail-on", "near_collapse", "--every-checkpoint", "--resume"
    )
    assert code == 3 and written["totals"]["n_counted"] == 4 and written["runs"] == []


def test_a_failed_one_leaves_its_training_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = steps(tmp_path / "run", 1, 2)
    code, written = zoo(
        tmp_path, listed(tmp_path, run / "ckpt_1.pt", run / "ckpt_2.pt", run / "ckpt_3.pt")
    )
    assert code == 1 and written["totals"]["n_failed"] == written["totals"]["n_counted"] == 1
    assert [model["checkpoint_of"] for model in written["models"]] == ["ckpt_2", None, None]


def test_a_model_is_no_duplicate_of_what_is_not_counted(tmp_path: Path) -> None:
    """A copy of an earlier checkpoint elsewhere is a model, and is counted."""
    run = steps(tmp_path / "run", 1, 2)
    copy = save(tmp_path / "start.pt", 1)
    _, written = zoo(tmp_path, listed(tmp_path, run / "ckpt_1.pt", run / "ckpt_2.pt", copy))
    assert [model["duplicate_of"] for model in written["models"]] == [None, None, None]
    assert written["totals"]["n_counted"] == 2
