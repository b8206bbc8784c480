"""A run of a zoo that is interrupted, that another one meets, or whose worker is killed."""

import os
import signal

import pytest

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.settings import Settings
from tests.support.waiting import wait_until
from tests.support.zoo_archives import (
    INTERRUPT,
    KILL,
    ZooCommand,
    finished,
    outcomes,
    reports,
    same,
    state,
    write_archive,
    zoo_here,
)

pytestmark = pytest.mark.newest_python


@pytest.fixture
def zoo(tmp_path):
    return tmp_path / "zoo"


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """An archive that takes most of a second, and five that are done before it."""
    folder = tmp_path_factory.mktemp("slow")
    write_archive(folder / "large.tar.gz", 0, layers=12, shape=(900, 700), level=0)
    for seed in range(1, 6):
        write_archive(folder / f"m{seed}.tar.gz", seed)
    return folder


def test_a_run_that_is_interrupted_goes_on(slow, zoo, tmp_path):
    running = ZooCommand(tmp_path / "tmp", slow, "--output-dir", zoo, "--workers", "2")
    wait_until(lambda: finished(zoo), running.process)
    running.signal_group(INTERRUPT)  # a terminal sends it to every process
    done = running.end()
    assert done.returncode == 130
    wait_until(lambda: not running.group_is_alive())
    assert not running.left_over()
    (line,) = done.stderr.splitlines()
    assert "--resume" in line and " of 6 models" in line
    done_then = {path.parent.name for path in finished(zoo)}
    before = {name: written for name, written in state(zoo).items() if name in done_then}
    assert 0 < len(before) < 6
    resumed = zoo_here(slow, "--output-dir", zoo, "--resume", "--workers", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert {name: state(zoo)[name] for name in before} == before
    assert len(reports(zoo)) == 6
    for name, layers in reports(zoo).items():
        whole = analyze_archive(Reading(str(slow / f"{name}.tar.gz")), Settings(jobs=1))
        assert same(layers, whole.layers)
    assert not list(zoo.glob("models/*/journal.jsonl"))


def test_one_run_at_a_time(zoo, tmp_path):
    models = write_archive(tmp_path / "models" / "a.tar.gz", 0).parent
    running = ZooCommand(tmp_path / "tmp", models, "--output-dir", zoo, "--workers", "1")
    wait_until(lambda: (zoo / ".zoo-running").exists(), running.process)
    wait_until(lambda: (zoo / ".zoo-running").read_text(), running.process)
    running.signal_group(signal.SIGSTOP)  # it is not done before the second looks
    second = zoo_here(models, "--output-dir", zoo, "--resume")
    running.signal_group(signal.SIGCONT)
    assert second.returncode == 1
    assert f"process {running.process.pid}" in second.stderr
    assert running.end().returncode == 0
    assert not [path for path in zoo.iterdir() if path.name.startswith(".")]


def test_a_worker_that_is_killed_costs_no_other_model(slow, zoo, tmp_path):
    """Both that were in work begin again; nothing is lost."""
    running = ZooCommand(tmp_path / "tmp", slow, "--output-dir", zoo, "--workers", "2")
    wait_until(lambda: finished(zoo), running.process)
    worker = next(pid for pid in children(running.process.pid) if is_worker(pid))
    os.kill(worker, KILL)
    done = running.end()
    assert done.returncode == 0, done.stderr
    assert {model["status"] for model in outcomes(zoo).values()} == {"done"}


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def is_worker(pid):
    """Beside the workers there is the process that tracks shared resources."""
    with open(f"/proc/{pid}/cmdline") as file:
        return "spawn_main" in file.read()
