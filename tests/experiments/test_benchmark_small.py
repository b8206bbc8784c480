"""The benchmark of many small matrices: its stages add up, and its files are those of a run."""

import re
import time
from typing import Any

import pytest

from scripts.benchmarks.profiling import REST, seconds_of
from scripts.benchmarks.small import STAGES
from tests.support.scripts import run_script

pytestmark = pytest.mark.newest_python


def test_the_script_prints_stages_memory_and_sizes() -> None:
    done = run_script("scripts.benchmarks.small", 12, 20, 10, "--sample", 8)
    assert done.returncode == 0, done.stderr
    first, head, *lines = done.stdout.splitlines()
    assert first == "12 matrices of 20 x 10"
    assert head.startswith("one at a time, ")
    table = [re.split(r"  +", line) for line in lines[: len(STAGES) + 2]]
    assert [row[0] for row in table] == [*STAGES, REST, "all"]
    each = [float(row[1]) for row in table]
    assert sum(each[:-1]) == pytest.approx(each[-1], abs=0.001 * len(each))
    assert min(each[: len(STAGES)]) >= 0 < each[0]
    rest = "\n".join(lines[len(STAGES) + 2 :])
    assert re.search(r"^at most \d+ MiB of anonymous memory$", rest, re.MULTILINE)
    for name in ("layers.csv", "report.html", "report.json", "singular_values.npz"):
        assert re.search(rf"^{name}: [\d.]+ MiB, \d+ bytes for each matrix$", rest, re.MULTILINE)


def test_a_stage_within_another_counts_once() -> None:
    class Work:
        def inner(self) -> None:
            time.sleep(0.02)

        def outer(self) -> None:
            self.inner()
            time.sleep(0.01)

    stages: dict[str, list[tuple[Any, str]]] = {
        "inner": [(Work, "inner")],
        "outer": [(Work, "outer")],
    }
    begun = time.perf_counter()
    seconds = seconds_of(stages, lambda: Work().outer())
    whole = time.perf_counter() - begun
    assert seconds["inner"] >= 0.02
    assert seconds["outer"] >= 0.01
    assert sum(seconds.values()) <= whole
    assert Work.outer.__name__ == "outer"  # as before
