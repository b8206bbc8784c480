"""Columns in the names of WeightWatcher have its values; where it differs, the page says so."""

import csv
import importlib.util
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import Report, analyze
from allennlp_analyze.cli.main import main
from allennlp_analyze.metrics.weightwatcher import COLUMNS, KINDS, PeerColumn, peer_row
from tests.support.commands import ROOT

pytest.importorskip("torch")
if importlib.util.find_spec("weightwatcher") is None:
    pytest.skip(
        "weightwatcher is not installed: pip install weightwatcher==0.7.7", allow_module_level=True
    )
HEALTHY = {"tall": (300, 60), "wide": (40, 160), "square": (80, 80), "heavy": (120, 90)}
ONLY_THERE = {"has_esd", "rf", "status", "warning"}
EQUAL = [column for column in COLUMNS if not column.note]


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2018)
    found = {name: rng.standard_normal(shape) for name, shape in HEALTHY.items()}
    found["heavy"] *= 1 + rng.pareto(1.5, 90)
    found["rank_10"] = rng.standard_normal((256, 10)) @ rng.standard_normal((10, 128))
    found["rank_1"] = np.outer(rng.standard_normal(64), np.arange(48) == 0)  # exactly
    found["few"] = rng.standard_normal((40, 12))
    return {name: values.astype(np.float32) for name, values in found.items()}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The rows of WeightWatcher by the names of the layers."""
    path = tmp_path_factory.mktemp("weightwatcher") / "weights.npz"
    np.savez(path, **weights())
    script = ROOT / "tests" / "support" / "run_weightwatcher.py"
    done = subprocess.run(
        [sys.executable, str(script), str(path)], capture_output=True, text=True, cwd=path.parent
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["version"] == "0.7.7"
    return {row["longname"]: row for row in answer["rows"]}


@pytest.fixture(scope="module")
def report() -> Report:
    return analyze({f"{name}.weight": values for name, values in weights().items()})


@pytest.fixture(scope="module")
def ours(report: Report) -> dict[str, dict[str, Any]]:
    return {x.name: peer_row(i, x) for i, x in enumerate(report.layers)}


def test_each_of_its_columns_is_here_or_named_as_left_out(
    theirs: dict[str, dict[str, Any]],
) -> None:
    assert set(theirs["tall"]) - set(KINDS) == ONLY_THERE
    assert set(KINDS) <= set(theirs["tall"])


@pytest.mark.parametrize("name", HEALTHY)
def test_all_columns_of_a_healthy_layer_are_equal_but_for_the_fit_of_the_bulk(
    name: str, theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]
) -> None:
    compared = [x.name for x in COLUMNS if x.name != "layer_type" and not x.option]
    assert {"alpha", "D", "xmin", "sigma", "num_pl_spikes", "spectral_norm"} < set(compared)
    for column in (*compared, "W_scale"):
        assert ours[name][column] == near(theirs[name][column]), column


@pytest.mark.parametrize("column", EQUAL, ids=lambda column: column.name)
def test_columns_without_a_note_are_equal_for_every_layer(
    column: PeerColumn, theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]
) -> None:
    assert set(theirs) == set(ours)
    for name, row in theirs.items():
        assert ours[name][column.name] == near(row[column.name]), name


def near(value: Any) -> Any:
    return value if isinstance(value, str) else pytest.approx(value, rel=2e-5, abs=1e-6)


def test_the_edges_of_a_random_matrix_are_near_each_other(
    theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]
) -> None:
    for column in ("bulk_max", "mp_softrank", "sigma_mp"):
        assert ours["tall"][column] == pytest.approx(theirs["tall"][column], rel=0.06), column


def test_the_notes_say_what_happens(
    theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]
) -> None:
    assert (theirs["rank_10"]["rank_loss"], ours["rank_10"]["rank_loss"]) == (0, 118)
    assert ours["rank_10"]["matrix_rank"] == 10
    assert theirs["rank_1"]["entropy"] > 100 and ours["rank_1"]["entropy"] == 0
    # Of 12 values it is the small-sample estimate of its own.
    assert not math.isclose(theirs["few"]["alpha"], ours["few"]["alpha"], rel_tol=1e-2)


def test_the_page_names_what_is_left_out() -> None:
    page = (ROOT / "docs" / "how-to" / "from-weightwatcher.md").read_text(encoding="utf-8")
    [paragraph] = re.findall(r"^Left out: .*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert set(re.findall("`([a-z_]+)`", paragraph)) >= ONLY_THERE


def test_data_frame_and_csv_have_these_values(
    report: Report, ours: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **{f"{name}.weight": values for name, values in weights().items()})
    out = tmp_path / "out"
    assert main([str(path), "-q", "--no-plots", "--weightwatcher", "--output-dir", str(out)]) == 0
    with (out / "weightwatcher.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["longname"]: row for row in csv.DictReader(file)}
    frame = report.to_dataframe(names="weightwatcher").set_index("longname")
    for name, row in ours.items():
        for column in KINDS.keys() - {"longname", "layer_id"}:
            cell = rows[name][column]
            if row[column] is None:
                assert cell == "" and frame[column].isna()[name]
            else:
                kind = type(row[column])
                assert kind(cell) == row[column] == frame[column][name], column
