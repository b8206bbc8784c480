"""Which layer is which: by name, through a prefix, by order and shape; and when in doubt, none."""

import itertools
from typing import Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.compare.matching import match_layers
from allennlp_analyze.results.layer import LayerResult
from tests.support.report_factory import ODD_NAMES, gaussian, make_layer

pytestmark = pytest.mark.newest_python


def layer(
    parameter: str,
    rows: int = 6,
    columns: int = 4,
    kind: str = "linear",
    part: Optional[str] = None,
) -> LayerResult:
    name = parameter if part is None else f"{parameter}[{part}]"
    return make_layer(gaussian(rows, columns), name, parameter=parameter, kind=kind, part=part)


def test_the_name_decides_whatever_order_shape_and_kind() -> None:
    left = [layer("a", 6, 4), layer("b", 7, 3), layer("c")]
    right = [layer("c", kind="embedding"), layer("b", 6, 4), layer("a", 7, 3)]
    assert match_layers(left, right) == [(0, 2, "name"), (1, 1, "name"), (2, 0, "name")]


def test_parts_of_a_tensor_are_layers_of_their_own() -> None:
    left = [layer("in_proj", part=part) for part in ("query", "key", "value")]
    right = [left[2], left[0]]
    assert match_layers(left, right) == [(0, 1, "name"), (2, 0, "name")]


def test_renamed_layers_are_found_by_order_kind_and_shape() -> None:
    left = [layer("embed", 9, 5), layer("one", 8, 4), layer("two", 8, 4), layer("out", 3, 8)]
    right = [layer("E", 9, 5), layer("L1", 8, 4), layer("new", 2, 2), layer("L2", 8, 4),
             layer("out", 3, 8)]  # fmt: skip
    how = "order and shape"
    assert match_layers(left, right) == [(0, 0, how), (1, 1, how), (2, 3, how), (3, 4, "name")]


def test_an_equal_kind_goes_before_an_equal_shape_alone() -> None:
    left = [layer("a"), layer("b", kind="recurrent")]
    right = [layer("x", kind="other"), layer("y"), layer("z", 5, 5)]
    how = "order and shape"
    assert match_layers(left, right) == [(0, 1, how), (1, 0, how)]
    assert match_layers([layer("a", 4, 6)], [layer("z", 6, 4)]) == []


def test_a_prefix_on_either_side_beats_the_order() -> None:
    names = ["encoder.0.weight", "encoder.1.weight", "weight"]
    plain = [layer(name) for name in names]
    wrapped = [layer("new.weight"), *(layer(f"model.module.{name}") for name in names)]
    how = "name without prefix"
    assert match_layers(plain[:2], wrapped) == [(0, 1, how), (1, 2, how)]
    assert match_layers(wrapped, plain[:2]) == [(1, 0, how), (2, 1, how)]
    # "weight" could be "new.weight" as well as "model.module.weight".
    by_order = (2, 0, "order and shape")
    assert match_layers(plain, wrapped) == [(0, 1, how), (1, 2, how), by_order]


def test_a_prefix_counts_between_equal_shapes_only() -> None:
    assert match_layers([layer("a.weight", 6, 4)], [layer("m.a.weight", 5, 4)]) == []


def test_a_layer_that_the_other_model_left_out_takes_no_others_place() -> None:
    left, right = [layer("a"), layer("b")], [layer("b"), layer("z")]
    assert match_layers(left, right) == [(0, 1, "order and shape"), (1, 0, "name")]
    assert match_layers(left, right, elsewhere={"a"}) == [(1, 0, "name")]
    # What both have in part is matched by name all the same.
    assert match_layers(left, right, elsewhere={"b"})[-1] == (1, 0, "name")


def test_odd_names() -> None:
    layers = [layer(name) for name in ODD_NAMES]
    expected = [(index, index, "name") for index in range(len(layers))]
    assert match_layers(layers, list(layers)) == expected


names = st.text(alphabet="ab.", min_size=0, max_size=5)
shapes = st.tuples(st.integers(1, 2), st.integers(1, 2))
models = st.lists(
    st.tuples(names, shapes, st.sampled_from(["linear", "embedding"])),
    max_size=8,
    unique_by=lambda x: x[0],
)


def bare(parameter: str, shape: "tuple[int, int]", kind: str) -> LayerResult:
    return make_layer(np.ones(shape), parameter, parameter=parameter, kind=kind)


@given(models, models)
def test_every_match_is_one_to_one_and_as_it_says(left: "list", right: "list") -> None:
    a, b = ([bare(*x) for x in side] for side in (left, right))
    matches = match_layers(a, b)
    ones, others = [m[0] for m in matches], [m[1] for m in matches]
    assert ones == sorted(set(ones))
    assert len(set(others)) == len(others)
    common = {x.parameter for x in a} & {x.parameter for x in b}
    assert sum(how == "name" for _, _, how in matches) == len(common)
    by_order = []
    for one, other, how in matches:
        before, after = a[one], b[other]
        if how == "name":
            assert before.parameter == after.parameter
            continue
        assert before.shape == after.shape
        assert not {before.parameter, after.parameter} & common
        if how == "name without prefix":
            short, long = sorted((before.parameter, after.parameter), key=len)
            assert long.endswith("." + short)
        else:
            by_order.append(other)
    # Matched by kind and shape, then by shape: two passes, of which each keeps both orders.
    assert not [x for x in itertools.combinations(by_order, 3) if x[0] > x[1] > x[2]]


@given(models)
def test_a_model_is_matched_with_itself_by_name(model: "list") -> None:
    layers = [bare(*x) for x in model]
    assert match_layers(layers, layers) == [(i, i, "name") for i in range(len(layers))]
