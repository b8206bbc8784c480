"""layers.csv and singular_values.npz: flat files that other programs read."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.reports.csv import cell, columns, write_csv
from allennlp_analyze.reports.json import to_json_dict
from allennlp_analyze.results.layer import Comparison, ModelReport
from tests.support.report_factory import gaussian, heavy_tailed, make_layer, make_report, odd_report


def written(report: ModelReport, directory: Path) -> list[dict[str, str]]:
    path = directory / "layers.csv"
    write_csv(report, path)
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def numbers(node: Any) -> list[float]:
    """All numbers in a part of report.json, in its order."""
    if isinstance(node, dict):
        return [x for item in node.values() for x in numbers(item)]
    if isinstance(node, list):
        return [x for item in node for x in numbers(item)]
    return [node] if isinstance(node, (int, float)) else []


def test_every_number_of_the_json_is_there_in_full(tmp_path: Path) -> None:
    report = make_report(make_layer(heavy_tailed(60, 40)), make_layer(gaussian(9, 3), "small"))
    for row, layer in zip(written(report, tmp_path), to_json_dict(report)["layers"]):
        cells = []
        for key, text in row.items():
            if key != "name" and text.replace("-", "").replace(".", "").isalnum():
                try:
                    cells.append(float(text))
                except ValueError:
                    continue
        assert cells == numbers(layer)


def test_the_columns_have_the_names_users_know(tmp_path: Path) -> None:
    layer = make_layer(heavy_tailed(60, 40))
    assert layer.power_law is not None and layer.marchenko_pastur is not None
    [row] = written(make_report(layer), tmp_path)
    assert float(row["alpha"]) == layer.power_law.alpha
    assert float(row["D"]) == layer.power_law.D
    assert float(row["xmin"]) == layer.power_law.xmin
    assert float(row["alpha_sigma"]) == layer.power_law.sigma
    assert float(row["mp_lambda_plus"]) == layer.marchenko_pastur.lambda_plus
    assert float(row["mp_sigma"]) == layer.marchenko_pastur.sigma
    assert float(row["entropy"]) == layer.entropy
    assert int(row["hard_rank_numpy"]) == layer.hard_rank.numpy
    assert (int(row["rows"]), int(row["columns"])) == layer.shape


def test_what_is_not_defined_is_an_empty_cell(tmp_path: Path) -> None:
    layer = make_layer(np.zeros((4, 3)), tikhonov=None, entropy=None)
    [row] = written(make_report(layer), tmp_path)
    for key in ("alpha", "D", "entropy", "mp_sigma", "tikhonov_gamma", "condition_number", "part"):
        assert row[key] == ""
    assert "nan" not in str(row) and "None" not in str(row)


def test_comparisons_get_columns_only_where_made(tmp_path: Path) -> None:
    layer = make_layer(heavy_tailed(60, 40))
    assert layer.power_law is not None
    plain = make_report(layer)
    fit = dataclasses.replace(layer.power_law, comparisons={"lognormal": Comparison(-1.5, None)})
    compared = make_report(dataclasses.replace(layer, power_law=fit), layer)
    assert not [name for name in columns(plain) if "lognormal" in name]
    rows = written(compared, tmp_path)
    assert [row["comparison_lognormal_ratio"] for row in rows] == ["-1.5", ""]
    assert [row["comparison_lognormal_p"] for row in rows] == ["", ""]


def test_odd_names_stay_in_their_row_and_are_no_formula(tmp_path: Path) -> None:
    report = odd_report()
    rows = written(report, tmp_path)
    assert len(rows) == len(report.layers)
    lines = (tmp_path / "layers.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(rows)
    for row, layer in zip(rows, report.layers):
        assert None not in row and None not in row.values()
        assert not row["name"].startswith(("=", "+", "-", "@"))
        if layer.name.isprintable() and not layer.name.startswith("="):
            assert row["name"] == layer.name


# Full-width and small forms of = + - @, the minus of mathematics, and signs after spaces.
SIGNS = [*"\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212", " =", " \uff1d"]


@pytest.mark.parametrize("start", SIGNS)
def test_signs_that_look_like_those_of_a_formula_are_none(start: str) -> None:
    assert str(cell(start + "1+1")).startswith("'")
    assert cell("encoder\uff1d1") == "encoder\uff1d1"


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=3))
def test_any_warning_fits_one_cell(texts: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        report = make_report(make_layer(gaussian(3, 2), warnings=tuple(texts)))
        assert len(written(report, Path(directory))) == 1


def test_no_layers_leave_the_header(tmp_path: Path) -> None:
    assert written(make_report(), tmp_path) == []
    header = (tmp_path / "layers.csv").read_text().strip().split(",")
    assert header == columns(make_report()) and len(set(header)) == len(header)


@pytest.mark.parametrize("kind", ["linear", "embedding"])
def test_columns_do_not_depend_on_the_layers(kind: str) -> None:
    assert columns(make_report(make_layer(gaussian(4, 3), kind=kind))) == columns(make_report())
