"""scripts/tools/compare_outputs.py finds a changed bit, and only what changed."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.tools.compare_outputs import main

pytestmark = pytest.mark.newest_python


def write(folder: Path, report: dict[str, Any], cells: list[str], values: np.ndarray) -> Path:
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report))
    with (folder / "layers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "alpha"], cells])
    np.savez(folder / "values.npz", W=values)
    return folder


REPORT = {"layers": [{"name": "W", "alpha": 2.5}], "sentence": "All well.", "timing": {"read": 1}}
VALUES = np.array([3.0, 1.0])


def test_timings_new_keys_and_wording_are_no_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = {
        "layers": [{"name": "W", "alpha": 2.5, "entropy": 0.5}],
        "sentence": "Everything is well.",
        "timing": {"read": 2},
    }
    before = write(tmp_path / "before", REPORT, ["W", "2.5"], VALUES)
    after = write(tmp_path / "after", newer, ["W", "2.5"], VALUES)
    assert main([str(before), str(after)]) == 0
    printed = capsys.readouterr().out
    assert "reworded: All well." in printed and "to: Everything is well." in printed
    assert printed.endswith("0 differences, 1 texts reworded\n")


@pytest.mark.parametrize(
    "report, cells, values",
    [
        ({**REPORT, "layers": [{"name": "W", "alpha": 2.5000000000000004}]}, ["W", "2.5"], VALUES),
        ({**REPORT, "layers": [{"name": "W"}]}, ["W", "2.5"], VALUES),
        (REPORT, ["W", "2.50"], VALUES),
        (REPORT, ["W", "2.5"], np.nextafter(VALUES, 4)),
    ],
)
def test_any_changed_value_is_a_difference(
    report: dict[str, Any],
    cells: list[str],
    values: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = write(tmp_path / "before", REPORT, ["W", "2.5"], VALUES)
    after = write(tmp_path / "after", report, cells, values)
    assert main([str(before), str(after)]) == 1
    assert "differs: " in capsys.readouterr().out


def test_a_missing_file_is_a_difference(tmp_path: Path) -> None:
    before = write(tmp_path / "before", REPORT, ["W", "2.5"], VALUES)
    after = write(tmp_path / "after", REPORT, ["W", "2.5"], VALUES)
    (after / "layers.csv").unlink()
    assert main([str(before), str(after)]) == 1
    assert main([str(before), str(tmp_path / "nowhere")]) == 2
