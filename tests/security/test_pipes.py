"""A pipe, a device or a directory in place of a file gives one line and never blocks."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from allennlp_analyze import analyze
from allennlp_analyze.cli.main import main
from tests.support.scripts import run_main
from tests.support.waiting import PATIENCE

pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system"),
]


class Blocked(BaseException):
    """Raised where the command waits; it can take this for no error of its own."""


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command in this process, which must not wait anywhere."""

    def stop(*_: object) -> None:
        raise Blocked

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        return run_main(main, *arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipes")
    torch.save({"a.weight": torch.randn(20, 10)}, folder / "good.th")
    analyze(folder / "good.th").write(folder / "report", plots=False)
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
    place: str,
    kind: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    name = next(word for word in COMMANDS[place] if word.startswith("odd"))
    odd_file(kind, folder / name)
    try:
        done = run(*COMMANDS[place])
    finally:
        (shutil.rmtree if kind == "directory" else os.unlink)(folder / name)
    said = done.stderr
    assert done.returncode in (1, 2)
    assert sum(line.startswith("error: ") for line in said.splitlines()) == 1, said
    assert "unexpected" not in said and "Traceback" not in said


def test_a_process_waits_for_no_pipe(folder: Path) -> None:
    """Which no signal would wake."""
    odd_file("pipe", folder / "odd.th")
    done = subprocess.run(
        [sys.executable, "-m", "allennlp_analyze", "odd.th"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    os.unlink(folder / "odd.th")
    assert done.returncode == 1
    assert done.stderr.startswith("error: odd.th: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["report.json", "singular_values.npz"])
def test_a_pipe_in_place_of_a_file_of_a_report(
    name: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(folder / "report", tmp_path / "report")
    (tmp_path / "report" / name).unlink()
    os.mkfifo(tmp_path / "report" / name)
    monkeypatch.chdir(tmp_path)
    done = run("render", "report")
    said = done.stderr
    assert done.returncode == 1
    assert said.startswith("error: ") and said.count("\n") == 1
    assert "unexpected" not in said
