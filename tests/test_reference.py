"""The published tables: complete, and paired with our layers row by row."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import UsageError
from allennlp_analyze.reference import (
    REFERENCES,
    compare_with_reference,
    format_comparison,
    published_layers,
)
from allennlp_analyze.results import (
    HardRank,
    LayerResult,
    ModelReport,
    PowerLaw,
    SourceInfo,
    Summary,
    Timing,
    Tolerances,
    ToolInfo,
)

PUBLISHED = Path(__file__).resolve().parent.parent / "fixtures" / "published"
MODEL_OF = {"ner-2018": "ner", "parser-2018": "cp", "srl-2018": "srl", "coref-2018": "coref"}


def table(name):
    with (PUBLISHED / "allennlp_2018.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["model"] == MODEL_OF[name]]


def layer(m, n, alpha=None, d=0.1, smallest=1.0, name="layer", kind="linear"):
    fit = None if alpha is None else PowerLaw(alpha=alpha, D=d, xmin=1.0, sigma=0.1, n_tail=10)
    return LayerResult(
        name=name,
        parameter=f"{name}.weight",
        part=None,
        module_index=None,
        kind=kind,
        kind_source="inferred",
        module_class=None,
        shape=(n, m),
        dtype="float32",
        singular_values=smallest * np.linspace(10, 1, m) if m > 1 else np.array([smallest]),
        condition_number=10.0,
        hard_rank=HardRank(m, m, m, m),
        tolerance=Tolerances(0.0, 0.0, 0.0, 0.0),
        frobenius_norm=1.0,
        stable_rank=1.0,
        effective_rank=1.0,
        entropy=1.0,
        log_norm=1.0,
        log_spectral_norm=1.0,
        alpha_weighted=None,
        log_alpha_norm=None,
        marchenko_pastur=None,
        tikhonov=None,
        power_law=fit,
        power_law_note=None,
        verdict="full_rank",
    )


def report(layers):
    return ModelReport(
        tool=ToolInfo("0", "3", None, "1", None, None),
        source=SourceInfo("here.tar.gz", "here.tar.gz", None, None, None, "weights"),
        settings={},
        layers=tuple(layers),
        skipped=(),
        summary=Summary("full_rank", "", 0, 0, 0, 0, {}, {}, None, None, None, None, None, 0),
        timing=Timing(),
    )


def as_published(name, shift=0.0):
    """Layers with the numbers of the table, alpha and D shifted."""
    layers = []
    for index, row in enumerate(table(name)):
        alpha = float(row["alpha"])
        layers.append(
            layer(
                int(row["M"]),
                int(row["N"]),
                None if math.isnan(alpha) else alpha + shift,
                float(row["D"]) + shift,
                float(row["min_singular_value"]),
                f"layer{index}",
            )
        )
    return layers


@pytest.mark.parametrize("name", REFERENCES)
def test_every_published_row_is_read(name):
    archive, layers = published_layers(name)
    rows = table(name)
    assert archive == rows[0]["archive"]
    assert len(layers) == len(rows)
    for found, row in zip(layers, rows):
        assert (found.module_index, found.M, found.N) == (
            int(row["module_index"]),
            int(row["M"]),
            int(row["N"]),
        )
        assert found.min_singular_value == float(row["min_singular_value"])
        assert (found.alpha is None) == (row["alpha"] == "nan")


def test_tables_are_the_shared_facts():
    shared = PUBLISHED.parent.parent.parent / "shared" / "published"
    if not shared.is_dir():
        pytest.skip("the published tables (../shared/published) are not on this machine")
    originals = [path for path in shared.iterdir() if path.suffix in {".csv", ".json"}]
    assert originals
    for path in originals:
        assert (PUBLISHED / path.name).read_bytes() == path.read_bytes()


def test_ner_rows_are_the_linear_layers_of_the_parameter_list():
    shapes = json.loads((PUBLISHED / "ner_2018_parameters.json").read_text())
    embedder = "_token_embedder._highways", "_token_embedder._projection"
    marks = (*embedder, "input_linearity", "state_linearity", "state_projection", "tag_projection")
    linear = [
        tuple(sorted(shape))
        for name, shape in shapes.items()
        if name.endswith("weight") and any(mark in name for mark in marks)
    ]
    assert [(row.M, row.N) for row in published_layers("ner-2018")[1]] == linear


@pytest.mark.parametrize("name", REFERENCES)
def test_the_same_numbers_differ_by_nothing(name):
    comparison = compare_with_reference(report(as_published(name)), name)
    assert comparison.n_same_shape == comparison.n_published == len(table(name))
    assert comparison.unmatched == ()
    for row in comparison.rows:
        assert row.min_singular_value_difference == 0
        assert row.alpha_difference == (None if row.published.alpha is None else 0)
        assert row.D_difference == (None if row.published.D is None else 0)


def test_differences_are_ours_less_published():
    comparison = compare_with_reference(report(as_published("ner-2018", shift=0.25)), "ner-2018")
    for row in comparison.rows:
        assert row.alpha_difference == pytest.approx(0.25)
        assert row.D_difference == pytest.approx(0.25)
    assert "Largest difference: alpha 2.5e-01, D 2.5e-01" in format_comparison(comparison)


def test_other_kinds_are_left_out():
    layers = as_published("coref-2018")
    layers.insert(0, layer(50, 402, kind="embedding"))
    comparison = compare_with_reference(report(layers), "coref-2018")
    assert comparison.unmatched == ()
    assert len(comparison.rows) == len(table("coref-2018"))


@pytest.mark.parametrize("missing", [0, 5, 15])
def test_a_missing_layer_leaves_one_row_unmatched(missing):
    layers = as_published("ner-2018")
    del layers[missing]
    comparison = compare_with_reference(report(layers), "ner-2018")
    assert comparison.n_same_shape == len(table("ner-2018")) - 1
    (row,) = comparison.unmatched
    assert row.ours is None
    lost = table("ner-2018")[missing]
    assert (row.published.M, row.published.N) == (int(lost["M"]), int(lost["N"]))
    assert f"{row.published.M} x {row.published.N}; here no layer" in format_comparison(comparison)


def test_an_additional_layer_is_named():
    layers = as_published("ner-2018")
    layers.insert(3, layer(7, 9, name="extra"))
    comparison = compare_with_reference(report(layers), "ner-2018")
    assert comparison.n_same_shape == comparison.n_published
    assert [row.ours.name for row in comparison.unmatched] == ["extra"]
    assert "extra 7 x 9: not among the published layers" in format_comparison(comparison)


def test_a_different_shape_is_told_beside_the_published_one():
    layers = as_published("ner-2018")
    layers[-1] = dataclasses.replace(layers[-1], shape=(64, 17))
    comparison = compare_with_reference(report(layers), "ner-2018")
    (row,) = comparison.unmatched
    assert row.alpha_difference is None
    assert "module  50, 17 x 400; here layer15 17 x 64" in format_comparison(comparison)


def test_no_layers_at_all():
    comparison = compare_with_reference(report([]), "srl-2018")
    assert comparison.n_same_shape == 0
    assert len(comparison.unmatched) == comparison.n_published
    assert "0 of 32" in format_comparison(comparison)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_console_text_fits_100_columns_and_shows_every_row(name):
    text = format_comparison(compare_with_reference(report(as_published(name, 1e-7)), name))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "nan" not in text
    for row in table(name):
        start = f"{row['module_index']:>3}{row['M']:>5}{row['N']:>6}"
        assert sum(line.startswith(start) for line in lines) == 1


@pytest.mark.parametrize("length", [1, 40, 76, 77, 90, 300])
def test_long_names_are_cut_at_their_beginning(length):
    layers = [
        dataclasses.replace(one, shape=(3, 4), name="x" * length + ".end")
        for one in as_published("ner-2018")
    ]
    text = format_comparison(compare_with_reference(report([*layers, layers[0]]), "ner-2018"))
    assert max(map(len, text.splitlines())) <= 100
    assert sum("x.end 3 x 4" in line for line in text.splitlines()) == 17


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="ner-2018, parser-2018, srl-2018, coref-2018") as caught:
        compare_with_reference(report([]), "ner-2019")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
