"""Every script in examples/ does what it says, on real weights, in a directory of its own."""

import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from tests.support.commands import ONE_THREAD, ROOT, SMALL
from tests.support.torch_trainings import one_thread
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.newest_python
EXAMPLES = ROOT / "examples"
TESTED = {
    "one_archive.py",
    "state_dict.py",
    "module.py",
    "weakest_layers.py",
    "paper_figure.py",
    "training_check.py",
    "weight_decay.py",
}
LAYER = "encoder._module.weight_ih_l0"


def run(
    name: str, *arguments: object, cwd: Path, code: int = 0
) -> "subprocess.CompletedProcess[str]":
    """The script as a user starts it, from a directory that is not the checkout."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **ONE_THREAD},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == code, done.stderr
    return done


Here = Callable[..., str]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """A script that another process has run already or will run, in this one; what it prints."""

    def run_here(name: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run_here


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """weights.th of the fixture."""
    with tarfile.open(SMALL) as archive:
        member = archive.extractfile("weights.th")
        assert member is not None
        (tmp_path / "weights.th").write_bytes(member.read())
    return tmp_path / "weights.th"


def test_every_example_is_short_tested_and_says_what_it_does() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert set(scripts) == TESTED
    for name, text in scripts.items():
        assert len(text.splitlines()) < 40, name
        assert re.match(rf'"""[A-Z][^\n]+\n\npython {name}', text), name


def test_one_archive(tmp_path: Path) -> None:
    done = run("one_archive.py", SMALL, "out", cwd=tmp_path)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    verdict, *_, written = done.stdout.splitlines()
    assert verdict == report["summary"]["sentence"]
    names = written.removeprefix("written: ").split(", ")
    assert set(names) == {path.name for path in (tmp_path / "out").iterdir()}
    again = run("one_archive.py", SMALL, "out", cwd=tmp_path, code=1)
    assert again.stderr == "error: out: a report already exists; use force=True to replace it\n"


def test_one_archive_that_has_collapsed(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    w = np.random.default_rng(0).standard_normal((40, 20)).astype(np.float32)
    w[:, 3] = 0
    safetensors.save_file({"a.weight": w, "a.bias": w[:, 0].copy()}, tmp_path / "a.safetensors")
    lines = run("one_archive.py", "a.safetensors", "out", cwd=tmp_path).stdout.splitlines()
    assert re.fullmatch(r"a: dead_units, sigma_min (0|[\d.]+e-1\d)", lines[1])


def test_state_dict(tmp_path: Path, weights: Path) -> None:
    torch = pytest.importorskip("torch")
    powerlaw = pytest.importorskip("powerlaw")
    lines = run("state_dict.py", weights, cwd=tmp_path).stdout.splitlines()
    state = torch.load(weights, map_location="cpu")
    assert {line.split(":")[0] for line in lines} >= {n for n, x in state.items() if x.dim() == 1}
    (found,) = [line for line in lines if line.startswith(f"{LAYER}: ")]
    sigma = np.linalg.svd(state[LAYER].double().numpy(), compute_uv=False)
    fit = powerlaw.Fit(sigma**2, verbose=False)
    assert found == f"{LAYER}: alpha {fit.alpha:.3f} +- {fit.sigma:.3f}, D {fit.D:.3f}"


def test_module(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert run("module.py", cwd=tmp_path).stdout.splitlines() == [
        "embedding: Embedding, 500 x 64, full_rank",
        "encoder.weight_ih_l0: LSTM, 256 x 64, full_rank",
        "encoder.weight_hh_l0: LSTM, 256 x 64, full_rank",
        "encoder.weight_ih_l0_reverse: LSTM, 256 x 64, full_rank",
        "encoder.weight_hh_l0_reverse: LSTM, 256 x 64, full_rank",
        "projection: Linear, 128 x 64, full_rank",
        "tied: decoder.weight shares these values; analyzed once",
    ]


def test_weakest_layers(tmp_path: Path, weights: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("pandas")
    header, *rows = run("weakest_layers.py", SMALL, 4, cwd=tmp_path).stdout.splitlines()
    assert header.split()[:2] == ["name", "kind"]
    state = torch.load(weights, map_location="cpu")
    margins = []
    for row in rows:
        name, _, n, m, smallest, margin, *_ = row.split()
        w = state.get(f"{name}.weight", state.get(name)).double().numpy()
        sigma = np.linalg.svd(w, compute_uv=False)
        assert (int(n), int(m)) == (max(w.shape), min(w.shape))
        assert float(smallest) == pytest.approx(sigma[-1], abs=1e-4)
        edge = np.std(w) * (np.sqrt(max(w.shape)) - np.sqrt(min(w.shape)))
        assert float(margin) == pytest.approx(sigma[-1] / edge, abs=1e-4)
        margins.append(float(margin))
    assert len(rows) == 4 and margins == sorted(margins)


def test_paper_figure(tmp_path: Path, here: Here) -> None:
    pytest.importorskip("matplotlib")
    names = (LAYER, "tag_projection_layer._module")
    printed = run("paper_figure.py", SMALL, "figure.pdf", *names, cwd=tmp_path).stdout
    printed += here("paper_figure.py", SMALL, "figure.png", *names)
    assert printed == "figure.pdf: 2 of 36 layers\nfigure.png: 2 of 36 layers\n"
    for file, start in (("figure.pdf", b"%PDF"), ("figure.png", b"\x89PNG")):
        assert (tmp_path / file).read_bytes().startswith(start)
    from PIL import Image

    assert Image.open(tmp_path / "figure.png").size == (680, 280)


def test_training_check(tmp_path: Path, here: Here) -> None:
    pytest.importorskip("torch")
    with one_thread():
        healthy = here("training_check.py", 0)
    assert healthy.startswith("epoch 10: Healthy: all 2 judged layers")
    decayed = run("training_check.py", 0.2, cwd=tmp_path, code=1)
    assert re.match(r"epoch [2-9]: (Near collapse|Collapsed): ", decayed.stderr)
    assert decayed.stdout == ""


def test_weight_decay(tmp_path: Path, here: Here) -> None:
    """The lessons of docs/tutorial run it in a process, with the strong decay, too."""
    torch = pytest.importorskip("torch")
    with one_thread():
        printed = here("weight_decay.py", 0.0005, "a.pt")
    assert re.fullmatch(r"a\.pt: (100\.0|99\.\d)% of 1000 right\n", printed)
    shapes = [tuple(x.shape) for x in torch.load(tmp_path / "a.pt").values() if x.dim() == 2]
    assert shapes == [(192, 64), (96, 192), (10, 96)]
