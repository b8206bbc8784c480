"""The benchmark of the monitor: it runs, and its shares are those of what it has measured."""

import re

import pytest

from scripts.benchmarks import monitor
from tests.support.scripts import run_main, run_script

pytestmark = pytest.mark.newest_python
pytest.importorskip("torch")


def test_the_script_prints_epochs_checks_and_shares() -> None:
    done = run_script("scripts.benchmarks.monitor", "--sentences", 10, "--epochs", 2, "--words", 50)
    # Whether the goal is reached on so little work is a matter of time, which decides no test.
    assert done.returncode in (0, 1) and not done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if re.match(r"epoch [12]: ", line)]) == 2
    # An embedding, the two matrices of each of four LSTMs, and the last layer.
    assert all("for 10 matrices" in line for line in lines if line.startswith("epoch"))
    assert lines[-1].startswith("under 5%: ")


@pytest.mark.parametrize("check, reached", [(0.39, True), (1.0, False)])
def test_shares(check: float, reached: bool, capsys: pytest.CaptureFixture[str]) -> None:
    epochs, without = [monitor.Spent(8.0, 16.0)] * 2, [monitor.Spent(10.0, 20.0)] * 2
    assert monitor.report(epochs, [monitor.Spent(check, check)] * 2, without) is reached
    printed = capsys.readouterr().out
    assert f"checks are {check / 8:.2%} of the training" in printed
    assert f"checks are {check / 16:.2%} of the training" in printed
    assert f"took {(8 + check) / 10 - 1:+.1%}" in printed


def test_numbers_that_make_no_sense_are_refused() -> None:
    done = run_main(monitor.main, "--epochs", 0)
    assert done.returncode == 2
    assert "--epochs: 0 is not a number >= 1" in done.stderr
