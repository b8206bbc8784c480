"""Runs the command, or a script of the repository, as a user does or in this process."""

import contextlib
import io
import os
import subprocess
import sys
from typing import Callable

from tests.support.commands import ONE_THREAD, ROOT


def run_script(
    name: str, *arguments: object, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`python -m name arguments`, a module of scripts/, in this checkout."""
    return run_command(sys.executable, "-m", name, *arguments, **environment)


def run_main(
    main: "Callable[[list[str]], int]", *arguments: object
) -> "subprocess.CompletedProcess[str]":
    """The command or a script in this process: one of its own takes a second to start."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
    return subprocess.CompletedProcess([], code, stdout.getvalue(), stderr.getvalue())


def run_command(*command: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command with this checkout on the path of Python."""
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": str(ROOT), **ONE_THREAD, **environment},
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
