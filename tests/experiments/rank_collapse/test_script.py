"""The rank-collapse experiment as a user runs it, small enough for a test."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze import analyze
from scripts.rank_collapse.__main__ import main
from scripts.rank_collapse.runs import read_runs
from tests.support.commands import ROOT
from tests.support.scripts import error_line, run_main
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
pytest.importorskip("torch")
pytest.importorskip("sklearn")

SCRIPT = "scripts.rank_collapse"
# At 1 the penalty takes a weight to exp(-4) of itself.
SMALL = ("--epochs", 2, "--steps", 10, "--batch-size", 8, "--channels", 1, "--lr", 0.05)
SWEEP = (*SMALL, "--momentum", 0.5, "--l2", 0, 1)


def run(*options: object) -> "subprocess.CompletedProcess[str]":
    """The command in this process: its exit code, and what it printed."""
    return run_main(main, *options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a finished sweep, and what the command printed."""
    directory = tmp_path_factory.mktemp("experiment") / "out"
    done = run(*SWEEP, "--output-dir", directory, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    return directory, done


def results(directory: Path):
    return json.loads((directory / "rank-collapse.json").read_text())


def state(directory: Path, l2: float, epoch: int):
    from safetensors.numpy import load_file

    path = directory / "networks" / f"l2-{l2:g}" / f"epoch-{epoch:03d}.safetensors"
    return load_file(str(path))


def test_over_regularizing_collapses_and_training_does_not(finished) -> None:
    directory, _ = finished
    assert [(run["l2"], run["collapsed"]) for run in results(directory)["runs"]] == [
        (0, False),
        (1, True),
    ]


def test_every_number_is_that_of_the_state_dict(finished) -> None:
    directory, _ = finished
    for run in results(directory)["runs"]:
        for epoch in run["epochs"]:
            weights = state(directory, run["l2"], epoch["epoch"])
            for name, measured in epoch["layers"].items():
                w = weights[f"{name}.weight"].astype(np.float64)
                sigma = np.linalg.svd(w, compute_uv=False)
                assert measured["M"] == min(w.shape)
                assert measured["max_singular_value"] == pytest.approx(sigma[0], rel=1e-6)
                np.testing.assert_allclose(
                    measured["min_singular_value"], sigma[-1], rtol=1e-5, atol=1e-7 * sigma[0]
                )
                stable_rank = np.sum(sigma**2) / sigma[0] ** 2
                assert measured["stable_rank"] == pytest.approx(stable_rank, rel=1e-6)


def test_networks_begin_from_the_same_weights(finished) -> None:
    directory, _ = finished
    one, other = state(directory, 0, 0), state(directory, 1, 0)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_the_verdict_is_that_of_the_main_command(finished) -> None:
    directory, _ = finished
    path = directory / "networks" / "l2-1" / "epoch-002.safetensors"
    layers = {layer.name: layer for layer in analyze(path).layers}
    for name, measured in results(directory)["runs"][1]["epochs"][-1]["layers"].items():
        assert layers[name].verdict == measured["verdict"]
        assert layers[name].lost_directions == measured["lost_directions"]


def test_the_decay_is_printed_and_kept(finished) -> None:
    directory, done = finished
    decay = 2 * 1 * 0.05 * 20 / (1 - 0.5)
    assert results(directory)["runs"][1]["decay"] == pytest.approx(decay)
    assert "exp(-0.004)" in done.stdout and "exp(-6.25)" in done.stdout  # at 1e-3: ours, theirs


def test_the_study_takes_the_results(finished) -> None:
    directory, _ = finished
    runs = read_runs(directory / "rank-collapse.json")
    assert [(run.l2, run.collapsed) for run in runs] == [(0, False), (1, True)]


def test_everything_that_is_named_is_written(finished) -> None:
    directory, done = finished
    named = [line.split()[-1] for line in done.stdout.splitlines() if str(directory) in line]
    assert named and all(Path(path).exists() for path in named)
    assert (directory / "index.html").is_file() and any((directory / "figures").iterdir())


def test_nothing_is_overwritten_unless_asked(finished) -> None:
    directory, _ = finished
    before = results(directory)
    line = error_line(run(*SWEEP, "--output-dir", directory), 1)
    assert "use --resume to continue it, or --force to start over" in line
    other = ("--output-dir", directory, "--resume", "--seed", 1)
    assert "other options" in error_line(run(*SWEEP, *other), 1)
    assert results(directory) == before


def test_an_interrupted_sweep_is_gone_on_with(finished, tmp_path) -> None:
    """Interrupted by a signal while it trains; the results are those of one run to the last bit."""
    whole, _ = finished
    out = tmp_path / "out"
    one = (*SWEEP[:-2], 1)
    command = [sys.executable, "-m", SCRIPT, *map(str, one)]
    process = subprocess.Popen(
        [*command, "--output-dir", str(out), "--jobs", "1", "--force"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.nice(5),  # where cores are few, this process sees the log first
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = out / "networks" / "l2-1" / "training.json"
    deadline = time.monotonic() + PATIENCE
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and len(said.splitlines()) == 1, said
    assert not (out / "index.html").exists()
    assert "run the same command with --resume in place of --force to continue" in said
    done = run(*one, "--output-dir", out, "--resume", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert results(out)["runs"] == results(whole)["runs"][1:]
    for name, values in state(out, 1, 2).items():
        np.testing.assert_array_equal(values, state(whole, 1, 2)[name])


@pytest.mark.parametrize(
    "options, said",
    [
        (("--l2", "-1"), "--l2: -1.0 is not a number >= 0"),
        (("--l2", "nan"), "--l2: nan is not a number >= 0"),
        (("--lr", "0"), "--lr: 0.0 is not a number > 0"),
        (("--momentum", "1"), "--momentum: 1.0 is not a number from 0 to below 1"),
        (("--steps", "0"), "--steps: 0 is not a number >= 1"),
        (
            ("--l2", "0.001", "0", "1.0000001e-3"),
            "--l2: 0.001 and 0.0010000001 would share the directory l2-0.001; omit one of them",
        ),
        (
            ("--resume", "--force"),
            "--resume and --force exclude each other; omit one of them",
        ),
        (("--data-dir", "here"), "--data-dir: only with --data cifar10, not with digits; omit it"),
        (
            ("--batch-size", "2000"),
            "--batch-size: 2000 is more than the 1437 images for training of scikit-learn's digits",
        ),
        (
            ("--data", "cifar10"),
            "--data cifar10 requires --data-dir, the directory of CIFAR-10 or for its download",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, options, said: str) -> None:
    # What is not refused would be trained: for a short time.
    done = run(*SWEEP, *options, "--output-dir", tmp_path / "out")
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")
    assert not (tmp_path / "out").exists()
