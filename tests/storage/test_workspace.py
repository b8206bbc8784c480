"""Temporary directories: removed by their run, or by a later one where it was killed."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from allennlp_analyze.storage import locks
from allennlp_analyze.storage.workspace import PREFIX, sweep, workspace
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE

WORKER = (
    "import sys\n"
    "from allennlp_analyze.storage.workspace import workspace\n"
    "with workspace() as directory:\n"
    "    (directory / 'weights').write_text('x')\n"
    "    print(directory, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def worker(temporary: Path) -> "tuple[subprocess.Popen[bytes], Path]":
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().decode().strip())


def test_it_is_removed_on_leaving_however_that_is(temporary: Path) -> None:
    with workspace() as directory:
        assert directory.parent == temporary
    with pytest.raises(KeyboardInterrupt):
        with workspace():
            raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


def test_that_of_a_killed_process_is_swept_and_that_of_a_living_one_is_not(temporary: Path) -> None:
    killed, abandoned = worker(temporary)
    living, in_use = worker(temporary)
    killed.kill()
    killed.wait()
    sweep()
    assert not abandoned.exists()
    assert (in_use / "weights").read_text() == "x"
    living.communicate(timeout=PATIENCE)
    assert not in_use.exists()


def test_one_that_has_only_begun_is_left_alone(temporary: Path) -> None:
    begun = temporary / f"{PREFIX}begun"
    begun.mkdir()
    sweep()
    assert begun.exists()
    os.utime(begun, (time.time() - 86400,) * 2)
    sweep()
    assert not begun.exists()


def test_what_only_has_such_a_name_is_left_alone(temporary: Path) -> None:
    mine = temporary / "mine"
    mine.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(mine)
    (temporary / f"{PREFIX}file").write_text("x")
    for path in temporary.iterdir():
        os.utime(path, (0, 0), follow_symlinks=False)
    sweep()
    assert len(list(temporary.iterdir())) == 3


def test_a_directory_that_another_run_sweeps_before_it_is_locked_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    native, swept = locks._native, []

    def sweep_first(path: Path) -> object:
        if not swept:
            swept.append(path)
            shutil.rmtree(path.parent)
        return native(path)

    monkeypatch.setattr(locks, "_native", sweep_first)
    with workspace() as directory:
        (directory / "weights").write_text("x")
    assert swept and not directory.exists()


def test_a_directory_that_another_run_sweeps_while_it_is_removed_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other run makes its lock file after the contents are removed."""
    remove, raced = os.rmdir, []

    def race(path: "os.PathLike[str]", **options: int) -> None:
        if Path(path).name.startswith(PREFIX) and not raced:
            raced.append(path)
            (Path(path) / locks.LOCK).write_text("")
        remove(path, **options)

    with workspace() as directory:
        monkeypatch.setattr(os, "rmdir", race)
    monkeypatch.undo()
    assert [Path(path).name for path in raced] == [directory.name]
