"""kill -9 of a cluster's workers, its scheduler or the command at random moments loses nothing.

`CLUSTER_KILLS=50 pytest -s tests/security/test_cluster_kills.py` kills so many times, and prints
what it did.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.support.commands import ROOT
from tests.support.dask_clusters import DaskProcesses, kill
from tests.support.killed import done_layers, numbers

KILLS = int(os.environ.get("CLUSTER_KILLS", "0"))
pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.skipif(os.name == "nt", reason="signals and process groups of POSIX"),
    # tests/analysis/test_cluster.py kills each of them once.
    pytest.mark.skipif(not KILLS, reason="takes minutes; set CLUSTER_KILLS, or `make torture`"),
]
pytest.importorskip("distributed", reason="the extra `dask` is not installed")

SEED = int(os.environ.get("CLUSTER_KILLS_SEED", "0"))
MATRICES = 12
WORKERS = 2
# Whom to kill, and how often.
VICTIMS = {"worker": 5, "both workers": 2, "scheduler": 4, "command": 2}


class Run:
    """The command on one model; it goes on in `out` after each kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "m.safetensors"
        self.out, self.kept = folder / "out", folder / "kept.jsonl"
        rng = np.random.default_rng(0)
        tensors = {f"l{i}.weight": rng.standard_normal((1300, 1200)) for i in range(MATRICES)}
        save_file({name: values.astype("f4") for name, values in tensors.items()}, self.model)

    def begin(self, *more: str) -> "subprocess.Popen[str]":
        options = ("--output-dir", str(self.out), "--quiet", "--no-plots", *more)
        return subprocess.Popen(
            [sys.executable, "-m", "allennlp_analyze", str(self.model), *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def link(self) -> "list[int]":
        """Keep the journal, if there is one, where it shows what is written to its end."""
        new = self.folder / "new.jsonl"
        with contextlib.suppress(FileNotFoundError):  # the command has removed it
            os.link(self.out / "journal.jsonl", new)
            os.replace(new, self.kept)
            new.unlink(missing_ok=True)  # a link to the same file is not renamed
        return done_layers(self.kept)

    def ended(self, process: "subprocess.Popen[str]", code: int = 0) -> str:
        said = process.communicate(timeout=300)[1]
        assert process.returncode == code, said
        return said


def test_the_report_is_that_of_one_machine_whatever_is_killed(tmp_path: Path) -> None:
    run, rng = Run(tmp_path), random.Random(SEED)
    run.ended(run.begin())
    expected = numbers(run.out)
    cluster: Optional[DaskProcesses] = None
    kills: Counter[str] = Counter()
    kept = usual = 0.0
    try:
        while sum(kills.values()) < KILLS:
            cluster = cluster or started(tmp_path / "dask")
            shutil.rmtree(run.out, ignore_errors=True)
            run.kept.unlink(missing_ok=True)
            begun = time.monotonic()
            process = run.begin("--dask", cluster.address)
            if not usual:  # how long it takes, undisturbed
                run.ended(process)
                usual = time.monotonic() - begun
                assert numbers(run.out) == expected
                continue
            time.sleep(rng.uniform(0, usual))
            victim = rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
            if process.poll() is not None:
                run.ended(process)
                continue
            kills[victim] += 1
            kept += killed(run, cluster, process, victim, rng)
            if victim == "scheduler":
                cluster.end()
                cluster = None
            assert numbers(run.out) == expected, victim
            print(f"{sum(kills.values())}. {victim}: {int(kept)} layers kept so far", flush=True)
    finally:
        if cluster is not None:
            cluster.end()
    print(f"{dict(kills)}: {int(kept)} layers kept, every report that of one machine")


def started(folder: Path) -> DaskProcesses:
    cluster = DaskProcesses(folder)
    for _ in range(WORKERS):
        cluster.worker()
    return cluster


def killed(
    run: Run,
    cluster: DaskProcesses,
    process: "subprocess.Popen[str]",
    victim: str,
    rng: random.Random,
) -> int:
    """Kill, and go on to the end; returns the number of matrices that were done before."""
    before = run.link()
    if victim in ("worker", "both workers"):
        alive = [worker for worker in cluster.workers if worker.poll() is None]
        lost = alive if victim == "both workers" else [rng.choice(alive)]
        for worker in lost:
            kill(worker)
        time.sleep(rng.uniform(0, 1))
        before = run.link() or before
        for _ in lost:
            cluster.worker()
        run.ended(process)
    else:
        stop(cluster.scheduler if victim == "scheduler" else process)
        said = process.communicate(timeout=300)[1]
        if victim == "scheduler" and process.returncode != 0:  # 0: its last matrix was done
            assert process.returncode == 1 and said.count("\n") == 1, said
        before = run.link()
        if before and process.returncode:
            assert victim == "command" or f"{len(before)} matri" in said
        if not (run.out / "report.json").exists():
            on = where(run.folder, cluster, victim, rng)
            try:
                run.ended(run.begin("--resume", *(("--dask", on.address) if on else ())))
            finally:
                if on is not None and on is not cluster:
                    on.end()
    after: Any = done_layers(run.kept)
    assert len(set(after)) == len(after)
    assert not before or sorted(after) == list(range(MATRICES)), (victim, before, after)
    return len(before)


def stop(process: "subprocess.Popen[Any]") -> None:
    """kill -9; who reads its output waits for it."""
    if process.poll() is None:
        os.killpg(process.pid, 9)


def where(
    folder: Path, cluster: DaskProcesses, victim: str, rng: random.Random
) -> Optional[DaskProcesses]:
    """Where the run goes on: here (None), on the same cluster, or on another one."""
    if rng.random() < 0.5:
        return None
    return cluster if victim == "command" else started(folder / "another")
