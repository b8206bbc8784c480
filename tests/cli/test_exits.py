"""The end of the command: a process ends at once only if a matrix is still being computed."""

import subprocess
import sys

import pytest

from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.newest_python

FINISH = """
import threading, time
from allennlp_analyze.cli import exits
from allennlp_analyze.linalg.schedule import THREAD
threading.Thread(target=time.sleep, args=(SECONDS,), name=THREAD, daemon=True).start()
exits.ENDING_SECONDS = LIMIT
exits.finish(3)
print("returned")
"""


@pytest.mark.parametrize(
    ("seconds", "limit", "said"), [(0.05, PATIENCE, "returned"), (PATIENCE, 0.5, "")]
)
def test_only_a_thread_that_goes_on_computing_ends_the_process(
    seconds: float, limit: float, said: str
) -> None:
    code = FINISH.replace("(SECONDS", f"({seconds}").replace("LIMIT", str(limit))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.stdout.strip(), done.returncode) == (said, 0 if said else 3), done.stderr


def test_a_call_from_python_never_ends_the_process() -> None:
    code = f"""
import threading, time
from allennlp_analyze.cli import exits
from allennlp_analyze.cli.main import main
from allennlp_analyze.linalg.schedule import THREAD
threading.Thread(target=time.sleep, args=({PATIENCE},), name=THREAD, daemon=True).start()
exits.ENDING_SECONDS = 0
main(["does-not-exist"])
print("returned")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("returned", 0), done.stderr
