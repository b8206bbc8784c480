"""Runs a script of the repository as a user does."""

import os
import subprocess
import sys

from tests.support.commands import ROOT


def run_script(
    name: str, *arguments: object, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`python -m name arguments`, a module of scripts/, in this checkout."""
    return run_command(sys.executable, "-m", name, *arguments, **environment)


def run_command(*command: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command with this checkout on the path of Python."""
    return subprocess.run(
        list(map(str, command)),
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
