"""zoo.csv and zoo-models.csv, as pandas reads them."""

import csv
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import OutputError, SourceError
from allennlp_analyze.reports.csv import all_columns, columns, fixed_columns
from allennlp_analyze.results.layer import Comparison, ModelReport
from allennlp_analyze.zoo.reports.csv import (
    MODEL_COLUMNS,
    SUMMARY_FIELDS,
    write_zoo_layers,
    write_zoo_models,
)
from allennlp_analyze.zoo.results import ZooReport
from tests.support.report_factory import ODD_NAMES, gaussian, heavy_tailed, make_layer, make_report
from tests.support.zoo_factory import (
    REASON,
    done,
    failed,
    make_model,
    make_zoo,
    odd_zoo,
    sample_reports,
    sample_zoo,
    write_tables,
)

pytestmark = pytest.mark.newest_python
pandas = pytest.importorskip("pandas")


def table(path: Path) -> Any:
    """Every cell as it stands."""
    return pandas.read_csv(path, dtype=str, keep_default_na=False)


def compared(report: ModelReport, *distributions: str) -> ModelReport:
    """`report` with its power laws compared with `distributions`."""
    comparisons = {name: Comparison(-1.5, 0.25) for name in distributions}
    layers = [
        layer
        if layer.power_law is None
        else replace(layer, power_law=replace(layer.power_law, comparisons=comparisons))
        for layer in report.layers
    ]
    return replace(report, layers=tuple(layers))


def written(
    report: ZooReport, reports: "dict[str, ModelReport]", root: Path
) -> "tuple[Any, dict[str, Any]]":
    """zoo.csv, and the table of each model that went into it."""
    paths = write_tables(report, reports, root)
    write_zoo_layers(report, root, root / "zoo.csv")
    assert not list(root.glob("*.tmp"))
    return table(root / "zoo.csv"), {name: table(path) for name, path in paths.items()}


def test_every_row_of_every_model_is_there_as_it_was(tmp_path: Path) -> None:
    zoo = sample_zoo()
    found, tables = written(zoo, sample_reports(), tmp_path)
    for model in zoo.models:
        if model.name in tables:
            of_model = tables[model.name]
            of_model.insert(0, "model", model.name)
            of_model.insert(1, "group", model.group)
            of_model.insert(2, "duplicate_of", model.duplicate_of or "")
            of_model.insert(3, "checkpoint_of", "")
    expected = pandas.concat(list(tables.values()), ignore_index=True)
    pandas.testing.assert_frame_equal(found, expected)
    assert set(found["model"]) == {"healthy", "mixed", "lost", "single", "again"}
    assert set(found["duplicate_of"]) == {"", "healthy"}
    assert list(found.columns) == [*MODEL_COLUMNS, *fixed_columns()]


def test_numbers_are_those_of_the_zoo_to_the_last_digit(tmp_path: Path) -> None:
    zoo = sample_zoo()
    found, _ = written(zoo, sample_reports(), tmp_path)
    layers = [layer for model in zoo.models for layer in model.outcome.layers]
    assert len(found) == len(layers)
    for (_, row), layer in zip(found.iterrows(), layers):
        assert float(row["min_singular_value"]) == layer.min_singular_value
        assert float(row["rank_loss_percent_rounding"]) == layer.rank_loss_percent
        assert (row["alpha"] or None) == (None if layer.alpha is None else repr(layer.alpha))
        assert (int(row["N"]), int(row["M"])) == (layer.N, layer.M)


def test_columns_of_some_models_are_empty_for_the_others(tmp_path: Path) -> None:
    healthy = sample_reports()["healthy"]
    reports = {
        "none": healthy,
        "two": compared(healthy, "lognormal", "truncated_power_law"),
        "one": compared(healthy, "exponential"),
    }
    zoo = make_zoo(make_model(done(report), name) for name, report in reports.items())
    found, tables = written(zoo, reports, tmp_path)
    distributions = ["exponential", "lognormal", "truncated_power_law"]
    pairs = [f"comparison_{name}_{part}" for name in distributions for part in ("ratio", "p")]
    assert list(found.columns) == [*MODEL_COLUMNS, *fixed_columns(), *pairs]
    expected = pandas.concat(list(tables.values()), ignore_index=True).fillna("")
    assert found[expected.columns].equals(expected)
    assert set(found[found["model"] == "none"]["comparison_lognormal_p"]) == {""}
    assert set(found[found["model"] == "two"]["comparison_lognormal_p"]) == {"0.25"}


@given(st.lists(st.sets(st.sampled_from(["a", "b_p", "b", "ratio", "c_ratio_p"])), max_size=4))
def test_the_order_of_columns_is_that_of_one_model_with_all(
    sets: "list[set[str]]",
) -> None:
    layer = make_layer(heavy_tailed(30, 20))
    reports = [compared(make_report(layer), *names) for names in sets]
    together = compared(make_report(layer), *{name for names in sets for name in names})
    assert all_columns(columns(report) for report in reports) == columns(together)


def test_columns_that_no_release_of_ours_wrote_are_kept_and_come_last(tmp_path: Path) -> None:
    assert all_columns([["name", "later", "comparison_x_p"]]) == [
        *fixed_columns(), "comparison_x_p", "later",
    ]  # fmt: skip


def test_no_model_leaves_the_header(tmp_path: Path) -> None:
    zoo = make_zoo([make_model(failed())])
    found, _ = written(zoo, {}, tmp_path)
    assert list(found.columns) == [*MODEL_COLUMNS, *fixed_columns()] and len(found) == 0


def odd_reports() -> "dict[str, ModelReport]":
    layers = [make_layer(heavy_tailed(40, 20, i), name) for i, name in enumerate(ODD_NAMES)]
    return {name: make_report(*layers, warnings=ODD_NAMES) for name in ODD_NAMES}


def test_odd_names_stay_in_their_row_and_are_no_formula(tmp_path: Path) -> None:
    zoo = odd_zoo()
    found, _ = written(zoo, odd_reports(), tmp_path)
    write_zoo_models(zoo, tmp_path / "zoo-models.csv")
    models = table(tmp_path / "zoo-models.csv")
    assert len(models) == len(zoo.models)
    assert len(found) == sum(len(model.outcome.layers) for model in zoo.models)
    for name, rows in (("zoo.csv", found), ("zoo-models.csv", models)):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) == 1 + len(rows)
        assert not set(text) & set("\r\t\0\x1b\ud800\u202e")
        for _, row in rows.iterrows():
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]
    ordinary = [name for name in ODD_NAMES if name.isprintable() and not name.startswith("=")]
    assert set(ordinary) <= set(models["model"]) and set(ordinary) <= set(models["group"])


def test_a_name_of_any_length_fits(tmp_path: Path) -> None:
    name = "x" * 200_000
    reports = {"long": make_report(make_layer(gaussian(9, 5), name))}
    zoo = make_zoo([make_model(done(reports["long"]), "long", name)])
    before = csv.field_size_limit()
    write_tables(zoo, reports, tmp_path)
    write_zoo_layers(zoo, tmp_path, tmp_path / "zoo.csv")
    assert csv.field_size_limit() == before
    text = (tmp_path / "zoo.csv").read_text()
    assert text.count(name) == 3, "group, layer and parameter"


DAMAGES: "dict[str, Any]" = {
    "missing": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "empty": lambda path: path.write_text(""),
    "of another kind": lambda path: path.write_text("a,b\n1,2\n"),
    "a column twice": lambda path: path.write_text("name,name\n1,2\n"),
    "not text": lambda path: path.write_bytes(path.read_bytes() + b"\xff\xfe\n"),
    "a row is missing": lambda path: path.write_text(
        "".join(path.read_text().splitlines(keepends=True)[:-1])
    ),
    "a row too many": lambda path: path.write_text(
        path.read_text() + path.read_text().splitlines()[-1] + "\n"
    ),
    "cut off": lambda path: path.write_text(path.read_text()[:-300]),
    "an open quote": lambda path: path.write_text(path.read_text() + '"x'),
    "zeros": lambda path: path.write_bytes(path.read_bytes()[:-200] + b"\0" * 200),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_there_or_damaged_is_one_line_that_names_it(
    damage: str, tmp_path: Path
) -> None:
    zoo = sample_zoo()
    paths = write_tables(zoo, sample_reports(), tmp_path)
    write_zoo_layers(zoo, tmp_path, tmp_path / "zoo.csv")
    before = (tmp_path / "zoo.csv").read_bytes()
    DAMAGES[damage](paths["lost"])
    with pytest.raises(SourceError, match=r"models/lost/layers\.csv: .*resume=True") as caught:
        write_zoo_layers(zoo, tmp_path, tmp_path / "zoo.csv")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "zoo.csv").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "zoo.csv"]


def test_no_directory_is_one_line(tmp_path: Path) -> None:
    zoo = sample_zoo()
    write_tables(zoo, sample_reports(), tmp_path)
    with pytest.raises(OutputError, match=r"no/zoo\.csv: cannot be written"):
        write_zoo_layers(zoo, tmp_path, tmp_path / "no" / "zoo.csv")
    with pytest.raises(OutputError, match=r"no/zoo-models\.csv: cannot be written"):
        write_zoo_models(zoo, tmp_path / "no" / "zoo-models.csv")


@pytest.mark.no_cover  # tracemalloc alone makes it slow
def test_of_many_rows_few_are_in_memory(tmp_path: Path) -> None:
    """Ten times the rows take no more memory."""
    layer = make_layer(gaussian(9, 5))
    report = make_report(*(replace(layer, name=f"layer.{i}") for i in range(100)))
    peaks = []
    for copies in (3, 30):
        root = tmp_path / str(copies)
        models = [make_model(done(report), str(index)) for index in range(copies)]
        zoo = make_zoo(models)
        write_tables(zoo, {model.name: report for model in models}, root)
        tracemalloc.start()
        write_zoo_layers(zoo, root, root / "zoo.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len((root / "zoo.csv").read_text().splitlines()) == 1 + 100 * copies
    assert peaks[1] < 1.5 * peaks[0] < (tmp_path / "30" / "zoo.csv").stat().st_size


def test_every_model_has_a_row_with_its_summary_or_its_reason(tmp_path: Path) -> None:
    zoo = sample_zoo()
    write_zoo_models(zoo, tmp_path / "zoo-models.csv")
    found = table(tmp_path / "zoo-models.csv")
    assert list(found["model"]) == [model.name for model in zoo.models]
    for (_, row), model in zip(found.iterrows(), zoo.models):
        outcome, summary = model.outcome, model.outcome.summary
        assert row["group"] == model.group and row["directory"] == model.directory
        assert row["status"] == outcome.status and row["reason"] == (outcome.reason or "")
        assert row["duplicate_of"] == (model.duplicate_of or "")
        assert float(row["seconds"]) == outcome.seconds
        assert row["warnings"] == "; ".join(outcome.warnings)
        if summary is None:
            assert {row[name] for name in SUMMARY_FIELDS if name in row} == {""}
            continue
        assert row["verdict"] == summary.verdict and row["sentence"] == summary.sentence
        assert int(row["n_layers"]) == summary.n_layers
        for name in ("min_singular_value", "mean_alpha", "median_alpha"):
            number = getattr(summary, name)
            assert row[name] == ("" if number is None else repr(float(number)))
        assert int(row["layers_full_rank"]) == summary.layers_by_verdict["full_rank"]
    assert REASON in set(found["reason"])


def test_every_field_of_an_outcome_is_a_column(tmp_path: Path) -> None:
    """But what tells whether it is out of date, and the layers."""
    zoo = sample_zoo()
    write_zoo_models(zoo, tmp_path / "zoo-models.csv")
    header = set(table(tmp_path / "zoo-models.csv").columns)
    outcome = {field.name for field in fields(zoo.models[0].outcome)}
    assert outcome - header == {"request", "files", "reports", "layers", "summary"}
    summary = {field.name for field in fields(sample_reports()["lost"].summary)}
    assert summary - header == {"layers_by_kind", "layers_by_verdict"}


def test_a_zoo_without_models_is_a_header(tmp_path: Path) -> None:
    write_zoo_models(make_zoo([]), tmp_path / "zoo-models.csv")
    assert len((tmp_path / "zoo-models.csv").read_text().splitlines()) == 1
