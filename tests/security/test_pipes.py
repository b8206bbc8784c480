"""A pipe, a device or a directory in place of a file gives one line and never blocks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.waiting import PATIENCE

pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system"),
]


def run(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "allennlp_analyze", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipes")
    torch.save({"a.weight": torch.randn(20, 10)}, folder / "good.th")
    done = run("good.th", "--no-plots", "--quiet", "--output-dir", "report", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def odd_file(kind: str, path: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


COMMANDS = {
    "weights": ("odd.th",),
    "manifest": ("zoo", "odd.yaml"),
    "table": ("zoo", "odd.csv"),
    "reference": ("good.th", "--reference", "odd.csv"),
    "base": ("good.th", "--base", "odd.th"),
    "weights file": ("good.th", "--weights-file", "odd.th"),
    "report": ("render", "odd.json"),
    "compared": ("compare", "good.th", "odd.th"),
    "index": ("odd.index.json",),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
@pytest.mark.parametrize("place", COMMANDS)
def test_what_is_not_a_file(
    place: str, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    name = next(word for word in COMMANDS[place] if word.startswith("odd"))
    odd_file(kind, folder / name)
    try:
        done = run(*COMMANDS[place], cwd=folder)
    finally:
        (shutil.rmtree if kind == "directory" else os.unlink)(folder / name)
    lines = done.stderr.splitlines()
    assert done.returncode in (1, 2)
    assert sum(line.startswith("error: ") for line in lines) == 1, done.stderr
    assert "unexpected" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["report.json", "singular_values.npz"])
def test_a_pipe_in_place_of_a_file_of_a_report(name: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "report", tmp_path / "report")
    (tmp_path / "report" / name).unlink()
    os.mkfifo(tmp_path / "report" / name)
    done = run("render", "report", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "unexpected" not in done.stderr
