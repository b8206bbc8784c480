"""Published rows that name their layers, beside rows that do not."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.reference.comparison import compare_with_reference
from allennlp_analyze.reference.table import Reference
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.reference import (
    AGREEMENTS,
    NUMBERS,
    REFERENCE_VERDICTS,
    ROW_AGREEMENTS,
    ReferenceNumbers,
)
from tests.support.references import layer, of

pytestmark = pytest.mark.newest_python


def test_few_rows_in_common_are_a_comparison_when_they_have_names() -> None:
    rows = [named(f"l{index}", index) for index in range(9)]
    comparison = compare_with_reference([layer(20, 30, 6.0, name="l4")], of(*rows))
    assert comparison.verdict == "incomplete"
    assert "1 of 9 rows of mine.csv agrees and 8 have no layer here" in comparison.sentence
    assert "(the first: l0)" in comparison.sentence
    bare = [replace(row, name=None) for row in rows]
    comparison = compare_with_reference([layer(20, 30, 6.0, name="l4")], of(*bare))
    assert comparison.verdict == "not_comparable"
    assert [row.number for row in comparison.rows if row.agreement == "agrees"] == [5]


def named(name: str, index: int) -> ReferenceNumbers:
    return ReferenceNumbers(name, None, 20, 30, 2.0 + index, 0.1, 1.0)


@given(st.permutations(range(6)))
def test_named_rows_find_their_layers_in_any_order(order: "list[int]") -> None:
    layers = [layer(20, 30, 2.0 + index, name=f"l{index}") for index in order]
    reference = of(*(named(f"l{index}", index) for index in range(6)))
    comparison = compare_with_reference(layers, reference)
    assert comparison.verdict == "reproduced"
    assert [row.label for row in comparison.rows] == [f"l{index}" for index in range(6)]


def test_a_name_may_be_that_of_the_parameter_but_no_layer_is_taken_twice() -> None:
    whole = layer(20, 30, 2.0, name="lstm", kind="recurrent", parameter="lstm.w")
    gate = layer(20, 30, 9.0, name="lstm[i]", kind="recurrent", parameter="lstm.w", part="i")
    comparison = compare_with_reference([gate, whole], of(named("lstm.w", 0), named("lstm[i]", 7)))
    assert comparison.verdict == "reproduced"
    assert comparison.rows[0].ours is not None and comparison.rows[0].ours.name == "lstm"
    twice = compare_with_reference([whole], of(named("lstm", 0), named("lstm.w", 0)))
    assert [row.agreement for row in twice.rows] == ["agrees", "missing"]


def test_a_named_row_keeps_its_layer_whatever_its_shape() -> None:
    comparison = compare_with_reference([layer(21, 30, 2.0, name="l0")], of(named("l0", 0)))
    assert comparison.verdict == "differs"
    assert "the shape of l0: 20 x 30 published, 21 x 30 here" in comparison.sentence


def test_rows_with_and_without_names_keep_their_order() -> None:
    layers = [layer(4, 5, name="a"), layer(6, 7, name="b"), layer(8, 9, name="c")]
    reference = of(
        ReferenceNumbers(M=4, N=5, min_singular_value=1.0),
        ReferenceNumbers("c", min_singular_value=1.0),
        ReferenceNumbers(M=6, N=7, min_singular_value=1.0),
    )
    comparison = compare_with_reference(layers, reference)
    assert [row.label for row in comparison.rows] == ["row 1 (a)", "c", "row 3 (b)"]
    assert comparison.verdict == "reproduced"


@st.composite
def rows_and_layers(draw: Any) -> "tuple[Reference, list[LayerResult]]":
    shapes = st.sampled_from([(1, 5), (4, 9), (12, 12), (12, 30)])
    numbers = st.none() | st.sampled_from([0.25, 0.25 * (1 + 1e-7), 0.2501, 0.9])
    names = ["a", "b", "c", "d", "e"]
    layers = [
        layer(*draw(shapes), draw(numbers), 0.3, 0.25, name, draw(st.sampled_from(KINDS)))
        for name in names[: draw(st.integers(0, 5))]
    ]
    rows = []
    for name in draw(st.permutations([*names, "f"]))[: draw(st.integers(1, 6))]:
        shape = draw(shapes)
        rows.append(
            ReferenceNumbers(
                draw(st.sampled_from([name, None])),
                draw(st.none() | st.integers(0, 9)),
                *shape,
                *(draw(numbers) for _ in range(3)),
            )
        )
    return of(*rows), layers


KINDS = ("linear", "linear", "recurrent")


@given(rows_and_layers())
def test_whatever_is_compared_every_row_and_layer_is_there_once(
    case: "tuple[Reference, list[LayerResult]]",
) -> None:
    reference, layers = case
    comparison = compare_with_reference(layers, reference)
    assert [row.published for row in comparison.rows if row.published] == list(reference.rows)
    assert [row.number for row in comparison.rows if row.number] == [
        index + 1 for index in range(len(reference.rows))
    ]
    used = [row.ours.name for row in comparison.rows if row.ours is not None]
    assert len(used) == len(set(used))
    assert {one.name for one in layers if one.kind == "linear"} <= set(used)
    assert comparison.verdict in REFERENCE_VERDICTS
    assert comparison.sentence.endswith(".") and "\n" not in comparison.sentence
    for row in comparison.rows:
        assert row.agreement in ROW_AGREEMENTS
        assert (row.numbers is None) == (row.published is None or row.ours is None)
        if row.numbers is not None:
            each = [getattr(row.numbers, key) for key in NUMBERS]
            assert set(each) <= set(AGREEMENTS)
            assert (row.agreement == "differs") == ("differs" in each)
    found = {row.agreement for row in comparison.rows} - {"extra"}
    if comparison.verdict == "reproduced":
        assert found <= {"agrees", "not_compared"} and "agrees" in found
    if comparison.verdict == "close":
        assert "close" in found and not found & {"differs", "missing"}
    if comparison.verdict == "differs":
        assert "differs" in found
