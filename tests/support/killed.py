"""Runs the command and kills it at a chosen change of a directory, with all its processes.

The audit hook of Python sees every file that is opened for writing, renamed or removed, and every
directory that is made or removed. A counter in a file numbers these events over all processes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.commands import ROOT

HOOK = """
import os, signal, sys
count = os.open(os.environ["KILLED_COUNT"], os.O_RDWR | os.O_APPEND | os.O_CREAT)
last, root = int(os.environ["KILLED_AT"]), os.environ["KILLED_BELOW"]
WRITES = os.O_WRONLY | os.O_RDWR
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
def hook(event, arguments):
    if event == "open":
        flags = arguments[2]
        if not isinstance(flags, int) or not flags & WRITES:
            return
    elif event not in EVENTS:
        return
    path = arguments[0]
    if isinstance(path, int) or not os.path.abspath(os.fsdecode(path)).startswith(root):
        return
    os.write(count, b"x")
    if last and os.fstat(count).st_size >= last:
        os.killpg(0, signal.SIGKILL)
sys.addaudithook(hook)
"""


def run_killed(work: Path, below: Path, at: int, *arguments: object) -> "tuple[int, int, str]":
    """Run `allennlp-analyze` with `arguments`, killed before event number `at` below `below`.

    With `at` = 0 it runs to its end. `work` is a directory for the hook. Returns the exit code, the
    number of events, and what was printed on standard error.
    """
    shutil.rmtree(work, ignore_errors=True)
    (work / "tmp").mkdir(parents=True)
    (work / "sitecustomize.py").write_text(HOOK)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(work), str(ROOT))),
        "TMPDIR": str(work / "tmp"),
        "OPENBLAS_NUM_THREADS": "1",
        "KILLED_COUNT": str(work / "count"),
        "KILLED_AT": str(at),
        "KILLED_BELOW": os.path.abspath(below),
    }
    done = subprocess.run(
        [sys.executable, "-m", "allennlp_analyze", *map(str, arguments)],
        env=environment,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1, 2, -signal.SIGKILL), done.stderr
    return done.returncode, (work / "count").stat().st_size, done.stderr


def numbers(directory: Path) -> "dict[str, Any]":
    """Everything in the reports of one model but the timing."""
    contents = json.loads((directory / "report.json").read_text())
    del contents["timing"]
    found: dict[str, Any] = {"report.json": contents}
    for name in ("layers.csv", "singular_values.npz", "report.html"):
        found[name] = (directory / name).read_bytes()
    return found


def done_layers(journal: Path) -> "list[int]":
    """The matrices whose outcomes a journal holds, in its order."""
    if not journal.is_file():
        return []
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [line["index"] for line in lines if "index" in line]
