"""The benchmark of the monitor's overhead: each case measures, and the shares are of 200 steps."""

import pytest

from scripts.benchmarks import monitor_overhead as overhead
from tests.support.scripts import run_main
from tests.support.torch_trainings import one_thread

pytestmark = pytest.mark.newest_python
pytest.importorskip("torch")


@pytest.mark.parametrize("case", overhead.CASES)
def test_each_case_trains_and_checks(case: str) -> None:
    with one_thread():
        found = overhead.measure(case, 1, 1, 1)
    assert 1.2e6 < found.parameters < 1.5e6 and found.peak_mib > 50
    assert found.steps_processor > 0.0
    # The embedding; of each block queries, keys, values, their output and two of the network.
    assert found.matrices == (0 if case == overhead.PLAIN else 1 + 4 * 6)


def test_the_share_is_of_200_steps_without_a_monitor() -> None:
    plain = overhead.Measured(10, 40.0, 40.0, 0.0, 0.0, 0, 900.0)
    found = overhead.Measured(10, 44.0, 44.0, 3.0, 2.0, 37, 925.0)
    assert overhead.row(overhead.PLAIN, plain, plain, 20) == (
        "| without a monitor | 2.000 s | | | 900 MiB |"
    )
    assert overhead.row("a check", found, plain, 20) == (
        "| a check | 2.200 s | 3.00 s | 0.75% | 925 MiB (+25) |"
    )


def test_numbers_that_make_no_sense_are_refused() -> None:
    done = run_main(overhead.main, "--steps", 0)
    assert done.returncode == 2
    assert "--steps: 0 is not a number >= 1" in done.stderr
