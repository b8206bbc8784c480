"""One at a time holds a lock, it ends with its process, and its file does not stay."""

import errno
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import pytest

from allennlp_analyze.errors import OutputError
from allennlp_analyze.storage.locks import LOCK, LockTaken, locked, only_run
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE

HOLDER = """\
import sys
from pathlib import Path
from allennlp_analyze.storage.locks import locked
with locked(Path(sys.argv[1])) as sure:
    print("held" if sure else "unsure", flush=True)
    sys.stdin.read()
"""
# Takes the lock again and again; `inside` is there while somebody believes to hold it.
CONTENDER = """\
import sys
from pathlib import Path
from allennlp_analyze.storage.locks import LockTaken, locked
path, taken = Path(sys.argv[1]), 0
while taken < 150:
    try:
        with locked(path):
            inside = path.with_name("inside")
            inside.open("x").close()
            inside.unlink()
            taken += 1
    except LockTaken:
        pass
"""


@contextmanager
def holder(path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Another process that holds the lock until its standard input ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def is_taken(path: Path) -> bool:
    try:
        with locked(path) as sure:
            assert sure
            return False
    except LockTaken:
        return True


def test_another_process_holds_it_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    with holder(path) as process:
        assert is_taken(path) and is_taken(path)
        assert [entry.name for entry in tmp_path.iterdir()] == [LOCK]
        process.communicate(timeout=PATIENCE)
        assert not is_taken(path)
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    with holder(path) as process:
        process.kill()
        process.wait(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
        assert path.exists()
        assert not is_taken(path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_process_holds_it_once(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    with locked(path):
        assert is_taken(path)
        elsewhere: list[bool] = []
        thread = threading.Thread(target=lambda: elsewhere.append(is_taken(path)))
        thread.start()
        thread.join(timeout=PATIENCE)
        assert elsewhere == [True]
        assert path.exists()
    assert not is_taken(path)


def test_many_that_take_and_remove_it_are_never_two_inside(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTENDER, str(tmp_path / LOCK)]
    contenders = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [one.communicate(timeout=PATIENCE)[1] for one in contenders] == [""] * 4
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_made_anew_meanwhile_keeps_its_own_lock(tmp_path: Path) -> None:
    path = tmp_path / "out" / LOCK
    path.parent.mkdir()
    with locked(path):
        path.unlink()
        path.parent.rmdir()
        path.parent.mkdir()
        path.touch()
    assert path.exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with locked(tmp_path / LOCK) as first, locked(tmp_path / LOCK) as second:
            assert (first, second) == (False, False)
        with only_run(tmp_path, lambda: None), only_run(tmp_path, lambda: None):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "who"), [(None, "another run is"), (4711, r"another run \(process 4711\) is")]
)
def test_a_second_run_is_told_who_is_at_work(
    tmp_path: Path, number: Optional[int], who: str
) -> None:
    with holder(tmp_path / LOCK), pytest.raises(OutputError, match=f"^{tmp_path}: {who} writing"):
        with only_run(tmp_path, lambda: number):
            pass


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"absent/\.lock: cannot be written"):
        with only_run(tmp_path / "absent", lambda: None):
            pass


def test_an_error_passes_through_and_frees_it(tmp_path: Path) -> None:
    with pytest.raises(LockTaken, match="inner"), only_run(tmp_path, lambda: None):
        raise LockTaken("inner")  # of another lock: not this one's
    assert list(tmp_path.iterdir()) == []
