"""The end of the command: a process ends at once only if a matrix is still being computed."""

import subprocess
import sys

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python

FINISH = """
import threading, time
from allennlp_analyze.cli.exits import finish
from allennlp_analyze.linalg.schedule import THREAD
threading.Thread(target=time.sleep, args=(SECONDS,), name=THREAD, daemon=True).start()
finish(3)
print("returned")
"""


@pytest.mark.parametrize(("seconds", "said"), [(0.05, "returned"), (60, "")])
def test_only_a_thread_that_goes_on_computing_ends_the_process(seconds: float, said: str) -> None:
    code = FINISH.replace("SECONDS", str(seconds))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.stdout.strip(), done.returncode) == (said, 0 if said else 3), done.stderr
