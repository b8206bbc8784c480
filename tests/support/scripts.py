"""Runs a script of the repository as a user does, and imports what scripts share."""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Callable

import pytest

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


@contextlib.contextmanager
def importing() -> Iterator[Callable[[str], ModuleType]]:
    """What imports a module of scripts/ as the scripts do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield importlib.import_module


def error_line(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    """The one line with which a script ended that refused."""
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line
