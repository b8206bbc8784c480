"""Runs a script of the repository as a user does."""

import os
import subprocess
import sys

from tests.support.commands import ROOT


def run_script(
    name: str, *arguments: object, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`python -m name arguments`, a module of scripts/, in this checkout."""
    return subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
        # More threads than free cores would make small matrices take seconds.
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


def error_line(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    """The one line with which a script ended that refused."""
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line
