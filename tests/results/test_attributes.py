"""The attributes of a layer: each column of layers.csv, its value, and a type that is true."""

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import Layer, Report, analyze
from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.results.attributes import LayerAttributes
from scripts.tools import make_attributes
from tests.support.commands import ROOT, SMALL

pytestmark = pytest.mark.newest_python
# One matrix has two of them: `layer.shape`.
OF_A_SHAPE = {"rows", "columns"}


@pytest.fixture(scope="module")
def report() -> Report:
    return analyze(SMALL, layers="_l0$|transitions|conv_0$", uncertainty=True)


def test_the_module_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_attributes.main(["--check"]) == 0, capsys.readouterr().err


def test_every_column_of_layers_csv_is_an_attribute(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path, plots=False)
    with (tmp_path / "layers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report.layers) == 4
    for layer, row in zip(report.layers, rows):
        for column in set(row) - OF_A_SHAPE:
            found, cell = getattr(layer, column), row[column]
            assert column in dir(layer)
            if cell == "":
                assert found in (None, (), ""), column
            elif isinstance(found, float):
                assert float(cell) == found, column
            else:
                assert cell == ("; ".join(found) if isinstance(found, tuple) else str(found))


def test_the_numbers_are_those_of_powerlaw_and_numpy(report: Report) -> None:
    powerlaw = pytest.importorskip("powerlaw")
    layer = report.layer("encoder._module.weight_ih_l0")
    fit = powerlaw.Fit(layer.eigenvalues, verbose=False)
    assert layer.alpha == pytest.approx(fit.alpha, rel=1e-9)
    assert (layer.D, layer.xmin) == (pytest.approx(fit.D), pytest.approx(fit.xmin))
    assert layer.sigma == layer.alpha_sigma == pytest.approx(fit.sigma)
    tall = np.linalg.svd(np.diag(layer.singular_values), compute_uv=False)
    assert layer.hard_rank_numpy == np.linalg.matrix_rank(np.diag(tall))
    assert layer.stable_rank == pytest.approx((tall**2).sum() / tall[0] ** 2)


def test_what_is_not_fitted_is_none(report: Report) -> None:
    layer = report.layer(0)
    assert layer.power_law is None and layer.alpha is None and layer.n_tail is None
    assert layer.rank_loss_percent["numpy"] == layer.rank_loss_percent_numpy


def test_they_are_read_only(report: Report) -> None:
    with pytest.raises(AttributeError):
        report.layer(0).alpha = 2.0  # type: ignore[misc]


def test_types_say_what_the_values_are(report: Report) -> None:
    text = Path(make_attributes.MODULE).read_text(encoding="utf-8")
    types = dict(re.findall(r"^    (\w+) = Attribute\[(.+)\]\(", text, re.MULTILINE))
    assert len(types) > 50
    python: dict[str, Any] = {"float": float, "int": int, "str": str}
    for name, said in types.items():
        optional = said.startswith("Optional[")
        kind = python[said[len("Optional[") : -1] if optional else said]
        values = [getattr(layer, name) for layer in report.layers]
        assert all(isinstance(x, kind) or (optional and x is None) for x in values), name


def test_a_type_checker_knows_them(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(
        "from allennlp_analyze import load\n"
        "layer = load('x').layer(0)\n"
        "reveal_type(layer.alpha)\n"
        "reveal_type(layer.mp_n_spikes)\n"
        "reveal_type(layer.hard_rank_numpy)\n"
        "layer.alhpa\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    revealed = re.findall(r'Revealed type is "(.+)"', done.stdout)
    assert [x.replace("builtins.", "") for x in revealed] == ["float | None", "int | None", "int"]
    assert '"Layer" has no attribute "alhpa"' in done.stdout


def test_an_entry_with_two_columns_has_no_attribute() -> None:
    several = {name for metric in in_report() if len(metric.names) > 1 for name in metric.names}
    assert several == OF_A_SHAPE and not several & set(dir(Layer))
    assert set(vars(LayerAttributes)) & {"kind", "verdict", "Q"} == set()
