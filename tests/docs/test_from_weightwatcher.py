"""docs/how-to/from-weightwatcher.md: its snippet runs, its table is current, its calls exist."""

import inspect
import re

import pytest

import allennlp_analyze
from allennlp_analyze import analyze
from allennlp_analyze.metrics.weightwatcher import COLUMNS, KINDS, WEAK, peer_row
from allennlp_analyze.reports.csv import fixed_columns
from scripts.tools import make_weightwatcher_docs
from tests.support.commands import SMALL

pytestmark = pytest.mark.newest_python
TEXT = make_weightwatcher_docs.PAGE.read_text(encoding="utf-8")


def test_the_table_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_weightwatcher_docs.main(["--check"]) == 0, capsys.readouterr().err


def test_the_snippet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("torch", "pandas"):
        pytest.importorskip(package)
    [snippet] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(snippet, "from-weightwatcher.md", "exec"), names)
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["longname", "alpha", "D", "stable_rank", "mp_softrank"]
    assert [row.split()[1] for row in rows] == ["0", "2"]


def test_keywords_of_analyze_exist() -> None:
    words = {
        word
        for line in TEXT.splitlines()
        if line.startswith("| `") and line.count(" | ") == 1
        for word in re.findall(r"analyze\(model, (\w+)=", line.partition(" | ")[2])
    }
    assert words >= {"layers", "max_dim", "base", "compare_distributions", "uncertainty"}
    assert words <= set(inspect.signature(analyze).parameters)


def test_each_name_of_ours_in_the_table_is_a_column_or_attribute() -> None:
    known = {*fixed_columns(), *dir(allennlp_analyze.Layer)}
    for column in COLUMNS:
        named = set(re.findall("`([a-zA-Z_]+)`", column.ours)) - set(KINDS)
        assert named <= known, column.name


def test_numbers_follow_from_those_of_our_own_columns() -> None:
    """Without WeightWatcher; tests/formats/test_weightwatcher.py compares with the real one."""
    for index, layer in enumerate(analyze(SMALL).layers):
        row = peer_row(index, layer)
        assert list(row) == list(KINDS)
        values = layer.eigenvalues
        assert row["lambda_max"] == row["spectral_norm"] == row["xmax"] == values[0]
        assert row["norm"] == pytest.approx(values.sum())
        assert row["weak_rank_loss"] == (values < WEAK).sum()
        assert row["rank_loss"] == layer.M - row["matrix_rank"]
        # The edge in the units of the scaled weights, as its figures draw it.
        if row["sigma_mp"] is not None:
            edge = (row["sigma_mp"] * (1 + layer.Q**-0.5) / row["W_scale"]) ** 2
            assert edge == pytest.approx(row["bulk_max"])
        if layer.power_law is None:
            assert row["alpha"] is row["D"] is row["num_pl_spikes"] is None
