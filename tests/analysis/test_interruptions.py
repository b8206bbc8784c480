"""The real command killed, interrupted and starved at any moment: nothing that was done is lost."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import torch

from allennlp_analyze.cli.main import main
from tests.support.commands import ROOT
from tests.support.scripts import run_main
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.newest_python
MATRICES = 12
COMMAND = [sys.executable, "-m", "allennlp_analyze"]
PLAIN = ("--jobs", "1", "--quiet", "--no-plots")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matrices of about 30 ms each."""
    directory = tmp_path_factory.mktemp("archive")
    generator = torch.Generator().manual_seed(0)
    state = {
        f"layer_{index}.weight": torch.randn(800, 600, generator=generator)
        for index in range(MATRICES)
    }
    torch.save(state, directory / "weights.th")
    (directory / "config.json").write_text("{}")
    with tarfile.open(directory / "model.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(directory / "config.json", "config.json")
        tar.add(directory / "weights.th", "weights.th")
    return directory / "model.tar.gz"


class Running:
    """The command in a process of its own, with a directory for temporary files of its own."""

    def __init__(self, temporary: Path, *arguments: str, **options: Any) -> None:
        temporary.mkdir(exist_ok=True)
        self.temporary = temporary
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(temporary), "OPENBLAS_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        wait_until(lambda: condition() or self.process.poll() is not None, pause=0.005)

    def end(self, number: int) -> "tuple[int, str]":
        """Send it a signal; its exit code and what it said."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> "tuple[int, str]":
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """Some shells start what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def lines(out: Path) -> int:
    journal = out / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def contents(out: Path) -> "dict[str, Any]":
    """What the report files say, but for timing."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = path.relative_to(out).as_posix()
        found[name] = path.read_bytes()
    report = json.loads(found.pop("report.json"))
    del report["timing"]
    found["report"] = json.dumps(report)
    return found


@pytest.fixture(scope="module")
def uninterrupted(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Any]":
    directory = tmp_path_factory.mktemp("whole")
    whole = Running(directory / "tmp", str(archive), "--output-dir", str(directory / "a"), *PLAIN)
    assert whole.ended() == (0, "")
    found = contents(directory / "a")
    assert len(json.loads(found["report"])["layers"]) == MATRICES
    return found


def test_killed_at_any_moment_and_resumed_it_is_as_if_never_interrupted(
    archive: Path, tmp_path: Path, uninterrupted: "dict[str, Any]"
) -> None:
    out = tmp_path / "out"
    arguments = (str(archive), "--output-dir", str(out), *PLAIN, "--resume")
    chance, killed = random.Random(0), 0
    for _ in range(3):
        running = Running(tmp_path / "tmp", *arguments)
        before = lines(out)
        running.wait_until(lambda before=before: lines(out) > before + 1)
        time.sleep(chance.random() * 0.1)
        code, _ = running.end(signal.SIGKILL)
        if code == 0:  # on a busy machine it may come to its end before we see what it does
            break
        assert code == -signal.SIGKILL
        assert lines(out) > before
        killed += 1
    assert killed
    assert Running(tmp_path / "tmp", *arguments).ended() == (0, "")
    assert contents(out) == uninterrupted
    assert list((tmp_path / "tmp").iterdir()) == []  # what was killed is swept


def test_other_jobs_and_plots_do_not_change_what_is_resumed(archive: Path, tmp_path: Path) -> None:
    """Of three of the layers: a layer's figures take as long as some matrices."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    chosen = (str(archive), "--quiet", "--layers", r"layer_[3-5]\b")
    arguments = (*chosen, "--output-dir", str(out), "--plots")
    running = Running(tmp_path / "tmp", *arguments)
    running.wait_until((out / "report.json").exists)  # now it draws
    running.end(signal.SIGKILL)
    assert lines(out) == 3 + 2
    assert Running(tmp_path / "tmp", *arguments, "--resume").ended() == (0, "")
    found = contents(out)
    assert len([name for name in found if name.startswith("plots/layers/")]) == 3
    assert run_main(main, *chosen, "--output-dir", whole, "--jobs", "1").returncode == 0
    for name in ("layers.csv", "singular_values.npz"):
        assert found[name] == (whole / name).read_bytes()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "number, code, word",
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_is_one_line_that_says_how_to_go_on(
    archive: Path, tmp_path: Path, number: int, code: int, word: str
) -> None:
    out = tmp_path / "out"
    running = Running(tmp_path / "tmp", str(archive), "--output-dir", str(out), *PLAIN)
    running.wait_until(lambda: lines(out) > 3)
    ended, said = running.end(number)
    assert ended == code
    assert said.count("\n") == 1
    assert said.startswith(f"error: {word}; ")
    assert f"kept in {out}; run the same command with --resume to continue" in said
    assert [path.name for path in out.iterdir()] == ["journal.jsonl"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_signal_while_the_archive_is_unpacked_leaves_nothing(tmp_path: Path) -> None:
    out, weights = tmp_path / "out", tmp_path / "weights.th"
    torch.save({"w": torch.zeros(2000, 1000)}, weights)
    # Behind the weights, what takes some time to read.
    with tarfile.open(tmp_path / "many.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(weights, "weights.th")
        for number in range(10_000):
            tar.addfile(tarfile.TarInfo(f"member{number}"))
    running = Running(
        tmp_path / "tmp", str(tmp_path / "many.tar.gz"), "--output-dir", str(out), "--quiet"
    )
    running.wait_until(lambda: any(running.temporary.rglob("weights")))
    assert running.end(signal.SIGTERM) == (143, "error: terminated\n")
    assert list(running.temporary.iterdir()) == []
    assert not out.exists()


def test_what_was_done_is_neither_thrown_away_nor_gone_on_with_in_another_way(
    archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = (str(archive), "--output-dir", str(out), *PLAIN)
    running = Running(tmp_path / "tmp", *arguments)
    running.wait_until(lambda: lines(out) > 3)
    running.end(signal.SIGKILL)
    before = (out / "journal.jsonl").read_bytes()
    again = run_main(main, *arguments)
    assert again.returncode == 1
    said = "run the same command with --resume to continue, or use --force to start over"
    assert said in again.stderr
    other = run_main(main, *arguments, "--resume", "--gamma", "3")
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)
    assert "belongs to another archive, other settings" in other.stderr
    assert (out / "journal.jsonl").read_bytes() == before
    anew = run_main(main, *arguments, "--force")
    assert (anew.returncode, anew.stderr) == (0, "")
    assert not (out / "journal.jsonl").exists()


def test_two_runs_in_one_directory(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = Running(tmp_path / "tmp", str(archive), "--output-dir", str(out), *PLAIN)
    first.wait_until(lambda: lines(out) > 2)
    first.process.send_signal(signal.SIGSTOP)  # it is not done before the second looks
    second = run_main(main, archive, "--output-dir", out, *PLAIN, "--force")
    assert (second.returncode, second.stderr.count("\n")) == (1, 1)
    assert f"another run (process {first.process.pid}) is writing there" in second.stderr
    first.process.send_signal(signal.SIGCONT)
    assert first.ended() == (0, "")


def test_a_full_disk_is_one_line_and_what_was_done_is_gone_on_with(
    archive: Path, tmp_path: Path, uninterrupted: "dict[str, Any]"
) -> None:
    weights, out = tmp_path / "model.pth", tmp_path / "out"
    with tarfile.open(archive) as tar:
        member = tar.extractfile("weights.th")
        assert member is not None
        weights.write_bytes(member.read())

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    arguments = (str(weights), "--output-dir", str(out), *PLAIN)
    code, said = Running(tmp_path / "tmp", *arguments, preexec_fn=small_files).ended()
    assert (code, said.count("\n")) == (1, 1)
    assert "journal.jsonl: cannot be written (File too large)" in said
    assert lines(out) > 2
    assert Running(tmp_path / "tmp", *arguments, "--resume").ended() == (0, "")
    assert contents(out)["singular_values.npz"] == uninterrupted["singular_values.npz"]


def test_an_output_directory_that_is_removed_meanwhile_is_made_again(
    archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    running = Running(tmp_path / "tmp", str(archive), "--output-dir", str(out), *PLAIN)
    running.wait_until(lambda: lines(out) > 3)
    shutil.rmtree(out)
    assert running.ended() == (0, "")
    assert sorted(path.name for path in out.iterdir()) == [
        "layers.csv",
        "report.html",
        "report.json",
        "singular_values.npz",
    ]


def test_an_output_directory_that_became_a_file_is_one_line(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = Running(tmp_path / "tmp", str(archive), "--output-dir", str(out), *PLAIN)
    running.wait_until(lambda: lines(out) > 3)
    shutil.rmtree(out)
    out.write_text("")
    code, said = running.ended()
    assert (code, said.count("\n")) == (1, 1)
    assert f"{out}: cannot be written" in said


def seconds_of(process: int) -> float:
    """Seconds of processors that a process has taken; 0 where /proc does not say."""
    path = Path(f"/proc/{process}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_interrupt_does_not_wait_for_a_large_matrix(tmp_path: Path) -> None:
    """Its eigenvalues take many seconds, in one call that nothing stops."""
    torch.manual_seed(0)
    torch.save({"w": torch.randn(6000, 6000).half()}, tmp_path / "model.pth")
    out = tmp_path / "out"
    running = Running(
        tmp_path / "tmp", str(tmp_path / "model.pth"), "--output-dir", str(out), *PLAIN
    )
    running.wait_until(lambda: lines(out) > 1)
    time.sleep(1)
    before = sum(os.times()[2:4])  # the seconds of processors that ended children took
    so_far = seconds_of(running.process.pid)
    assert running.end(signal.SIGINT) == (130, "error: interrupted\n")
    assert sum(os.times()[2:4]) - before - so_far < 5
    assert not out.exists()
