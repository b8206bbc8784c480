"""Ours beside published numbers: every row judged, one verdict, one sentence."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.options.names import REFERENCES
from allennlp_analyze.reference.comparison import TOLERANCE, compare_with_reference
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.reference import NUMBERS, ReferenceNumbers, relative_difference
from tests.support.references import PUBLISHED, against, as_published, layer, of, table

pytestmark = pytest.mark.newest_python
MEASURES = ("alpha", "D", "min_singular_value")


def shifted(one: LayerResult, number: str, factor: float) -> LayerResult:
    """`one` with a number of it multiplied."""
    if number == "min_singular_value":
        values = one.singular_values.copy()
        values[-1] *= factor
        return replace(one, singular_values=values)
    assert one.power_law is not None
    value = getattr(one.power_law, number) * factor
    return replace(one, power_law=replace(one.power_law, **{number: value}))


def test_ner_rows_are_the_linear_layers_of_the_parameter_list() -> None:
    shapes = json.loads((PUBLISHED / "ner_2018_parameters.json").read_text())
    embedder = "_token_embedder._highways", "_token_embedder._projection"
    marks = (*embedder, "input_linearity", "state_linearity", "state_projection", "tag_projection")
    linear = [
        tuple(sorted(shape))
        for name, shape in shapes.items()
        if name.endswith("weight") and any(mark in name for mark in marks)
    ]
    assert [(row.M, row.N) for row in read_reference("ner-2018").rows] == linear


@pytest.mark.parametrize("name", REFERENCES)
def test_the_published_numbers_reproduce_the_table(name: str) -> None:
    comparison = against(name, as_published(name))
    assert comparison.verdict == "reproduced"
    assert comparison.sentence.startswith(
        f"Reproduced: all {len(table(name))} rows of {name} agree"
    )
    assert comparison.n_published == comparison.n_matched == len(table(name))
    assert comparison.archive == table(name)[0]["archive"]
    for row, found in zip(table(name), comparison.rows):
        assert found.agreement == "agrees"
        assert found.published is not None and found.ours is not None
        assert found.published.module_index == int(row["module_index"])
        assert found.difference("min_singular_value") == 0
        expected = None if row["alpha"] == "nan" else 0
        assert found.difference("alpha") == found.difference("D") == expected


def differ_at_float32(one: LayerResult) -> LayerResult:
    """What the study itself lost: singular values and a fit in float32."""
    values = one.singular_values.astype("float32").astype("float64")
    fit = one.power_law and replace(
        one.power_law, alpha=one.power_law.alpha * (1 + 2e-7), D=one.power_law.D + 3e-7
    )
    return replace(one, singular_values=values, power_law=fit)


@pytest.mark.parametrize("name", REFERENCES)
def test_what_float32_loses_is_no_difference(name: str) -> None:
    comparison = against(name, [differ_at_float32(one) for one in as_published(name)])
    assert comparison.verdict == "reproduced"
    assert "the worst is" in comparison.sentence


@pytest.mark.parametrize("number", MEASURES)
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(
    "factor, agreement", [(1.004, "close"), (0.992, "close"), (1.02, "differs"), (0.5, "differs")]
)
def test_one_number_changes_its_row_and_the_verdict(
    name: str, number: str, factor: float, agreement: str
) -> None:
    for index in (0, 3):
        layers = as_published(name)
        layers[index] = shifted(layers[index], number, factor)
        comparison = against(name, layers)
        assert comparison.verdict == agreement
        for at, row in enumerate(comparison.rows):
            assert row.agreement == (agreement if at == index else "agrees")
        changed = comparison.rows[index]
        assert changed.numbers is not None
        for key in NUMBERS:
            assert getattr(changed.numbers, key) == (agreement if key == number else "agrees")
        assert changed.relative_difference(number) == pytest.approx(
            abs(factor - 1) / max(factor, 1), rel=1e-6
        )
        said = {"min_singular_value": "the smallest singular value"}.get(number, number)
        assert f"the worst is {said} of {changed.label}: " in comparison.sentence
        assert changed.label.startswith(f"module {table(name)[index]['module_index']} ")


@pytest.mark.parametrize("name", REFERENCES)
def test_each_layer_that_is_missing_is_the_one_named(name: str) -> None:
    """Also among neighbors of one shape: there the numbers tell which is gone."""
    for lost in range(len(table(name))):
        layers = as_published(name)
        del layers[lost]
        comparison = against(name, layers)
        assert comparison.verdict == "incomplete"
        assert comparison.n_rows("agrees") == len(table(name)) - 1
        (row,) = [row for row in comparison.rows if row.agreement != "agrees"]
        assert row.agreement == "missing" and row.number == lost + 1
        assert row.ours is None and row.numbers is None
        index = table(name)[lost]["module_index"]
        assert f"1 has no layer here (module {index})" in comparison.sentence


@pytest.mark.parametrize("name", REFERENCES)
def test_a_layer_more_is_told_and_takes_nothing_away(name: str) -> None:
    """Whatever its shape, one of the reference's too."""
    for shape in ((7, 9), tuple(int(table(name)[1][key]) for key in "MN")):
        for place in range(len(table(name)) + 1):
            layers = as_published(name)
            layers.insert(place, layer(*shape, alpha=99.0, smallest=77.0, name="more"))
            comparison = against(name, layers)
            assert comparison.verdict == "reproduced"
            (row,) = [row for row in comparison.rows if row.agreement != "agrees"]
            assert row.agreement == "extra" and row.published is row.number is None
            assert row.ours is not None and row.ours.name == row.label == "more"


def test_two_layers_of_one_shape_that_changed_places_differ() -> None:
    layers = as_published("ner-2018")
    layers[3], layers[4] = layers[4], layers[3]
    comparison = against("ner-2018", layers)
    assert comparison.verdict == "differs"
    assert [row.number for row in comparison.rows if row.agreement == "differs"] == [4, 5]
    assert comparison.n_rows("agrees") == len(layers) - 2


def test_in_another_order_the_shapes_do_not_fit() -> None:
    comparison = against("ner-2018", as_published("ner-2018")[::-1])
    assert comparison.verdict in ("differs", "not_comparable")


def test_a_shape_that_differs_is_paired_in_its_place() -> None:
    layers = as_published("ner-2018")
    layers[-1] = replace(layers[-1], shape=(64, 17))
    comparison = against("ner-2018", layers)
    row = comparison.rows[-1]
    assert row.agreement == "differs" and not row.matched
    assert row.numbers is not None and row.numbers.M == "agrees" and row.numbers.N == "differs"
    assert {getattr(row.numbers, key) for key in MEASURES} == {"not_compared"}
    assert row.difference("alpha") is row.relative_difference("D") is None
    assert comparison.verdict == "differs"
    assert "the shape of module 50 (layer15): 17 x 400 published, 17 x 64" in comparison.sentence


def test_other_kinds_are_no_layers_of_the_study() -> None:
    layers = as_published("coref-2018")
    layers.insert(0, layer(50, 402, kind="embedding"))
    assert against("coref-2018", layers).n_rows("extra") == 0


@pytest.mark.parametrize("name", REFERENCES)
def test_another_model_is_not_comparable(name: str) -> None:
    for layers in ([], [layer(3, 4, name=f"{index}") for index in range(40)]):
        comparison = against(name, layers)
        assert comparison.verdict == "not_comparable"
        assert comparison.n_matched == 0
        assert "none of the rows" in comparison.sentence
    # One layer in common by chance is no comparison either.
    comparison = against(name, as_published(name)[-1:])
    assert comparison.verdict == "not_comparable"
    assert f"{len(table(name)) - 1} of {len(table(name))} rows" in comparison.sentence


def test_what_one_side_does_not_know_is_not_compared() -> None:
    bare = ReferenceNumbers("a", min_singular_value=1.0)
    comparison = compare_with_reference([layer(20, 30, 3.0, name="a")], of(bare))
    assert comparison.verdict == "reproduced"
    numbers = comparison.rows[0].numbers
    assert numbers is not None
    assert {getattr(numbers, key) for key in ("M", "N", "alpha", "D")} == {"not_compared"}
    nothing = compare_with_reference([layer(20, 30, name="a")], of(ReferenceNumbers("a", M=20)))
    assert nothing.verdict == "not_comparable"
    assert nothing.rows[0].agreement == "not_compared"
    assert "no number in common" in nothing.sentence


def test_few_eigenvalues_have_no_fit_here_and_the_sentence_says_so() -> None:
    few = ReferenceNumbers("few", None, 9, 30, 3.0, 0.2, 1.0)
    comparison = compare_with_reference([layer(9, 30, name="few")], of(few))
    assert comparison.verdict == "reproduced"
    assert "alpha and D of 1 row not compared (no fit for M < 10)" in (comparison.sentence)
    enough = replace(few, M=10)
    comparison = compare_with_reference([layer(10, 30, name="few")], of(enough))
    assert comparison.verdict == "differs"
    assert "alpha of few: 3 published, none here" in comparison.sentence


def test_noise_around_zero_agrees() -> None:
    """A matrix without full rank: both smallest singular values are rounding errors."""
    singular = layer(20, 30, name="a")
    values = singular.singular_values.copy()
    values[-1] = 1e-8
    row = ReferenceNumbers("a", M=20, N=30, min_singular_value=3e-16)
    here = replace(singular, singular_values=values)
    assert compare_with_reference([here], of(row)).verdict == "reproduced"
    values[-1] = 1e-4
    assert compare_with_reference([here], of(row)).verdict == "differs"


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite)
def test_relative_difference(one: float, other: float) -> None:
    found = relative_difference(one, other)
    assert 0 <= found <= 2
    assert found == relative_difference(other, one) == relative_difference(-one, -other)
    assert (found == 0) == (one == other) or math.isclose(one, other, rel_tol=1e-15)
    for tolerance in (TOLERANCE.relative, TOLERANCE.close):
        if not math.isclose(found, tolerance, rel_tol=1e-6):
            assert (found <= tolerance) == math.isclose(one, other, rel_tol=tolerance)
