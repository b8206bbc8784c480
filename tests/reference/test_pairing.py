"""Rows and layers are paired as well as can be, found out by trying everything."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.reference.pairing import pair_rows
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.reference import ReferenceNumbers
from tests.support.references import layer

pytestmark = pytest.mark.newest_python
shapes = st.sampled_from([(1, 2), (2, 2), (2, 3)])
values = st.sampled_from([1.0, 2.0, 3.0])
sides = st.lists(st.tuples(shapes, values), max_size=5)


def likeness(row: ReferenceNumbers, one: LayerResult) -> int:
    return int(row.alpha == one.power_law.alpha) if one.power_law else 0


def worth(pairs: "list[tuple[Any, Any]]") -> "tuple[int, int]":
    """How many pairs have one shape, and how many of these one value."""
    same = [(a, b) for a, b in pairs if a is not None and b is not None and a[0] == b[0]]
    return len(same), sum(a[1] == b[1] for a, b in same)


def best(left: "list[Any]", right: "list[Any]") -> "tuple[int, int]":
    """The most that any matching that keeps both orders is worth."""
    return max(
        worth(list(zip(some, others)))
        for size in range(min(len(left), len(right)) + 1)
        for some in itertools.combinations(left, size)
        for others in itertools.combinations(right, size)
    )


@given(sides, sides)
def test_no_pairing_in_order_is_better(
    left: "list[tuple[tuple[int, int], float]]", right: "list[tuple[tuple[int, int], float]]"
) -> None:
    published = [
        ReferenceNumbers(module_index=index, M=m, N=n, alpha=value)
        for index, ((m, n), value) in enumerate(left)
    ]
    layers = [layer(m, n, value, name=str(index)) for index, ((m, n), value) in enumerate(right)]
    pairs = pair_rows(published, layers, likeness)
    assert [row.module_index for row, _ in pairs if row] == list(range(len(left)))
    assert [one.name for _, one in pairs if one] == [str(index) for index in range(len(right))]
    found = [
        (
            None if row is None else ((row.M, row.N), row.alpha),
            None if one is None or one.power_law is None else ((one.M, one.N), one.power_law.alpha),
        )
        for row, one in pairs
    ]
    assert worth(found) == best(left, right)
    # Nothing is left over on both sides of one place.
    sides = ["row" if b is None else "layer" if a is None else "both" for a, b in found]
    assert all({a, b} != {"row", "layer"} for a, b in zip(sides, sides[1:]))
