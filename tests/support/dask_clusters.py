"""Dask clusters of processes on this machine, which end with the test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.commands import ROOT
from tests.support.waiting import wait_until

SEEN = {"PYTHONPATH": str(ROOT)}  # of every worker
TRIED_TWICE = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}


def clusters(workers: int = 2, threads: int = 1) -> Iterator[Any]:
    """Worker processes that see this checkout; a task whose worker dies is tried once more."""
    import dask
    from distributed import LocalCluster

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        with LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            dashboard_address=":0",
            silence_logs=50,
            env=SEEN,
        ) as found:
            yield found


def _address(place: Path) -> str:
    """What the scheduler has written of itself; "" until it is whole."""
    try:
        return str(json.loads(place.read_text())["address"])
    except (OSError, ValueError, KeyError):
        return ""


class DaskProcesses:
    """A scheduler and its workers as processes that can be killed; `folder` is for their files.

    Its workers have no nanny: one that dies is not replaced.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        place = folder / "scheduler.json"
        place.unlink(missing_ok=True)
        asked = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place))
        self._log = (folder / "dask.log").open("a")
        self.scheduler = self._begin(["scheduler", *asked, "--no-dashboard"], TRIED_TWICE)
        wait_until(lambda: _address(place), self.scheduler)
        self.address = _address(place)
        self.workers: list[subprocess.Popen[bytes]] = []

    def worker(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Begin a worker of one thread."""
        one = ("--nthreads", "1", "--no-dashboard", "--no-nanny")
        local = ("--local-directory", str(self._folder))
        command = ["worker", self.address, *one, *local, *arguments]
        self.workers.append(self._begin(command, {**SEEN, **environment}))
        return self.workers[-1]

    def _begin(self, command: "list[str]", more: "dict[str, str]") -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            env={**os.environ, **more},
            cwd=self._folder,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def log(self) -> str:
        """What the scheduler and all workers have logged."""
        return (self._folder / "dask.log").read_text()

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            kill(process)
        self._log.close()


def kill(process: "subprocess.Popen[bytes]") -> None:
    """kill -9, and wait for the end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def dask_processes(folder: Path, workers: int = 0) -> Iterator[DaskProcesses]:
    cluster = DaskProcesses(folder)
    try:
        for _ in range(workers):
            cluster.worker()
        yield cluster
    finally:
        cluster.end()
