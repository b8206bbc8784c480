"""JSON with an indentation: to the byte what the standard library writes."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.text.indented import indented

pytestmark = pytest.mark.newest_python
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
VALUES = st.recursive(
    SCALARS,
    lambda of: st.lists(of) | st.dictionaries(st.text(), of) | st.tuples(of, of),
    max_leaves=20,
)


@given(VALUES)
def test_the_text_of_the_standard_library(value: Any) -> None:
    assert indented(value) == json.dumps(value, indent=2, allow_nan=False)


@given(VALUES, st.integers(1, 3))
def test_a_part_of_a_whole(value: Any, depth: int) -> None:
    whole: Any = value
    before, after = "", ""
    for level in reversed(range(depth)):
        whole = [whole]
        before += "[\n" + "  " * (depth - level)
        after += "\n" + "  " * level + "]"
    assert before + indented(value, depth) + after == json.dumps(whole, indent=2)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have(number: float) -> None:
    with pytest.raises(ValueError, match="is not a number of JSON"):
        indented({"found": [number]})


def test_other_types() -> None:
    with pytest.raises(TypeError):
        indented({"found": {1, 2}})
