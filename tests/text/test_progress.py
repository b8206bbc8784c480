"""A progress bar is for a terminal alone, and leaves it as it was."""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.commands import ROOT, SMALL
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.newest_python
pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))  # Unix

LAYERS = """\
import sys
from allennlp_analyze.text.progress import progress_bar
with progress_bar("layers", 30, quiet="quiet" in sys.argv, done=10, title="model") as bar:
    bar.advance(note="1 failed")
    bar.restart(30)
"""
COSTS = """\
import time
from allennlp_analyze.text.progress import progress_by_cost
with progress_by_cost("layers", [1.0, 2.0, 1.0], quiet=False, done=[0]) as bar:
    time.sleep(1)
    bar.finished(1)
"""
BYTES = """\
from allennlp_analyze.text.progress import progress_bar
with progress_bar("B", quiet=False, title="weights.th") as bar:
    bar.restart(300 * 1024)
    bar.advance(3 * 1024)
    bar.restart(None)
"""
COMMAND = ["-m", "allennlp_analyze", str(SMALL), "--kinds", "embedding"]


def on_terminal(arguments: Sequence[str]) -> "tuple[str, str]":
    """What Python with `arguments` prints on a terminal as standard error, and elsewhere."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # rows and columns
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux's end of a terminal
        pass
    output, _ = process.communicate(timeout=PATIENCE)
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode(), output.decode()


def last_line(shown: str) -> str:
    """What stands on a terminal's last line in the end: later text covers earlier text."""
    line = ""
    for part in shown.rsplit("\n", 1)[-1].split("\r"):
        line = part + line[len(part) :]
    return line.strip()


def test_it_counts_from_what_is_done_and_is_wiped_off() -> None:
    shown, output = on_terminal(["-c", LAYERS])
    assert re.search(r"model: +33%.* 10/30 ", shown)
    assert re.search(r" 0/30 \[.*1 failed\]", shown)
    assert last_line(shown) == output == ""


def test_bytes_are_in_units_of_1024_and_their_number_may_be_known_late() -> None:
    shown, _ = on_terminal(["-c", BYTES])
    assert re.search(r"weights\.th: .*/300k \[.*B/s\]", shown)
    assert last_line(shown) == ""


def test_quiet_shows_none() -> None:
    assert on_terminal(["-c", LAYERS, "quiet"]) == ("", "")


@pytest.mark.parametrize("code", [LAYERS, BYTES])
def test_a_pipe_gets_none(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_command_shows_its_layers_and_plots(tmp_path: Path) -> None:
    shown, output = on_terminal([*COMMAND, "--output-dir", str(tmp_path), "--plots"])
    assert re.search(r"  0%.* 0/3 layers \[00:0", shown)
    assert re.search(r"plots/s\]", shown)
    assert last_line(shown) == ""
    assert "layers [" not in output and "plots/s" not in output


def test_the_time_left_is_that_of_the_costs() -> None:
    shown, output = on_terminal(["-c", COSTS])
    # One of three items, but three quarters of the work, took a second: a third of that is left.
    assert re.search(r" 75%.* 2/3 layers \[00:0[1-3]<00:0[01]\]", shown)
    assert re.search(r" 25%.* 1/3 layers \[00:00<\?\]", shown)
    assert last_line(shown) == output == ""
