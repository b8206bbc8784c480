"""Experts in the table of the terminal, in layers.csv, data frames and report.json."""

import csv
import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from allennlp_analyze import Report, analyze, load
from allennlp_analyze.data import read_schema
from allennlp_analyze.reports.console import print_report
from allennlp_analyze.reports.csv import EXPERT_GROUP, write_csv
from allennlp_analyze.reports.json import to_json_dict
from allennlp_analyze.results.experts import expert_groups, has_groups
from tests.support.mixtures import (
    BLOCK,
    COLLAPSED,
    DEAD,
    EXPERTS,
    H,
    experts,
    fused,
    mixture,
    others,
)

pytestmark = pytest.mark.newest_python


@pytest.fixture(scope="module")
def report() -> Report:
    return mixture()


def printed(report: Report) -> "list[str]":
    stream = io.StringIO()
    print_report(report, [], stream)
    return stream.getvalue().splitlines()


def test_a_projection_is_one_row_with_the_worst_and_the_median(report: Report) -> None:
    lines = printed(report)
    start = lines.index("") + 2  # after the verdict, and the header
    table = lines[start : lines.index("", start)]
    assert len(table) == len(others()) + 3
    (gate,) = [line for line in table if "*.gate_proj" in line]
    smallest = [np.linalg.svd(x, compute_uv=False)[-1] for x in experts()["gate_proj"]]
    assert f"{EXPERTS}, worst {DEAD}" in gate and gate.rstrip().endswith("collapsed")
    worst, median = gate.split(f" x {H} ")[1].split()[1].split("/")  # after Q
    assert float(worst) == 0
    assert float(median) == pytest.approx(np.median(smallest), rel=0.005)
    assert f"{H}/0" in gate  # directions lost


def test_the_dead_and_the_collapsed_are_named(report: Report) -> None:
    text = " ".join(printed(report))
    named = f"{EXPERTS} experts, worst: {DEAD}; 1 dead: {DEAD}; 1 collapsed: {COLLAPSED}"
    assert named in text
    assert f"expert {DEAD}: {H} of {H} directions, all weights are zero." in text
    healthy = " ".join(printed(mixture(lost=False)))
    assert "dead:" not in healthy and "worst" in healthy


def test_rows_name_their_group(report: Report, tmp_path: Path) -> None:
    write_csv(report, tmp_path / "layers.csv")
    with open(tmp_path / "layers.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == [layer.name for layer in report.layers]
    for row in table:
        leaf = row["name"].rpartition(".")[2]
        is_expert = ".experts." in row["name"]
        assert row[EXPERT_GROUP] == (f"{BLOCK}.*.{leaf}" if is_expert else "")
    pytest.importorskip("pandas")
    sizes = report.to_dataframe().groupby(EXPERT_GROUP).size()
    assert sorted(sizes) == [EXPERTS] * 3


def test_report_json_has_the_groups_and_can_be_read_again(report: Report, tmp_path: Path) -> None:
    contents = to_json_dict(report)
    jsonschema.validate(json.loads(json.dumps(contents)), read_schema("report"))
    groups = {group["name"]: group for group in contents["expert_groups"]}
    gate = groups[f"{BLOCK}.*.gate_proj"]
    assert gate["dead"] == [DEAD] and gate["collapsed"] == [COLLAPSED]
    assert gate["experts"][0] == {"expert": DEAD, "layer": f"{BLOCK}.{DEAD}.gate_proj"}
    assert gate["verdict"] == "collapsed"
    shares = [100 * (H - np.linalg.matrix_rank(x)) / H for x in experts()["gate_proj"]]
    assert gate["medians"]["lost_percent"] == pytest.approx(np.median(shares))
    report.write(tmp_path, plots=False, force=True)
    assert load(tmp_path).expert_groups == report.expert_groups


def test_a_model_without_experts_has_nothing_of_it() -> None:
    report = analyze(others())
    assert "expert_groups" not in to_json_dict(report)
    assert EXPERT_GROUP not in report.to_dataframe().columns
    assert not any("xpert" in line for line in printed(report))


def test_fused_experts_are_the_same_rows() -> None:
    """But for the tensor of gate and up, which is a matrix, too."""
    rows = {
        line.split("experts.*.")[1].split()[0]: line.split("experts.*.")[1].split()
        for line in printed(analyze(fused()))
        if "experts.*." in line and f" x {H} " in line
    }
    assert set(rows) == {"gate_up_proj", "gate_proj", "up_proj", "down_proj"}
    assert rows["gate_proj"][-1] == "collapsed" and rows["up_proj"][-1] == "full_rank"


def test_a_group_has_two_experts(report: Report) -> None:
    assert has_groups(report.layers)
    one = [x for x in report.layers if "experts" not in x.name or ".experts.0." in x.name]
    assert any("experts" in x.name for x in one)
    assert not has_groups(one)
    assert not expert_groups(one)
