"""The singular values of a layer, and the limits of its rank, are drawn where the report says."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.reports.figures.density import shown_indices
from allennlp_analyze.reports.figures.singular_values import (
    MAX_POINTS,
    limits,
    plot_singular_values,
    spread,
)
from allennlp_analyze.results.layer import TOLERANCES, LayerResult, Tolerances
from tests.support.figure_cases import CASES, axes, exact_zeros, large
from tests.support.report_factory import gaussian, heavy_tailed, make_layer

pytestmark = pytest.mark.newest_python


def levels(ax: Any) -> dict[str, float]:
    """The heights of the lines that cross the axes, by label."""
    found = {}
    for line in ax.lines:
        x, y = line.get_data()
        if list(x) == [0, 1]:
            ends = line.get_transform().transform(np.column_stack([x, y]))
            np.testing.assert_allclose(ends[:, 0], ax.bbox.intervalx)
            found[line.get_label()] = float(y[0])
    return found


def marks(ax: Any, marker: str) -> np.ndarray:
    """(n, 2) places of all marks of one kind."""
    found = [np.column_stack(x.get_data()) for x in ax.lines if x.get_marker() == marker]
    return np.concatenate([np.empty((0, 2)), *found])


@pytest.mark.parametrize("case", CASES)
def test_every_layer_has_a_view(case: str) -> None:
    """That it can be drawn, too, is held where nothing covers anything (test_plots)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = axes()
        assert plot_singular_values(ax, CASES[case]()) is ax
    for low, high in (ax.get_xlim(), ax.get_ylim()):
        assert np.isfinite([low, high]).all() and low < high
    assert not ax.axison or (ax.get_xlabel() and ax.get_ylabel())


@pytest.mark.parametrize("case", ["heavy tail", "17 eigenvalues", "no bulk", "exact zeros", "1e30"])
def test_every_limit_is_a_labelled_line_at_its_place(case: str) -> None:
    layer = CASES[case]()
    ax = plot_singular_values(axes(), layer)
    expected = {name: getattr(layer.tolerance, name) for name in TOLERANCES}
    mp, split = layer.marchenko_pastur, layer.tikhonov
    if split is not None:
        expected["\u221a\u03b3"] = split.gamma**0.5
    if mp is not None:
        expected["√λ₋"], expected["√λ₊"] = mp.lambda_minus**0.5, mp.lambda_plus**0.5
    low, high = ax.get_ylim()
    drawn = {name: at for name, at in expected.items() if low < at < high}
    assert levels(ax) == pytest.approx(drawn)
    assert drawn.keys() >= set(TOLERANCES) - {"loose"}
    texts = [text.get_text() for text in ax.texts]
    for name, at in expected.items():
        [text] = [text for text in texts if text.startswith(f"{name}: {at:.2g}")]
        # The arrow says on which side of the view it would be.
        assert text.endswith(" ↓" if at <= low else " ↑" if at >= high else text[-2:])
        if name in TOLERANCES:
            lost = layer.M - getattr(layer.hard_rank, name)
            assert (f"({lost} below)" in text) == (lost > 0)


def test_labels_stand_in_the_order_of_their_lines() -> None:
    ax = plot_singular_values(axes(), make_layer(heavy_tailed(300, 200)))
    heights = [text.get_position()[1] for text in ax.texts]
    values = [float(text.get_text().split(": ")[1].split()[0]) for text in ax.texts]
    assert len(values) == 7 and values == sorted(values) and heights == sorted(heights)


def test_limits_at_one_place_are_one() -> None:
    layer = make_layer(gaussian(40, 30))
    assert layer.marchenko_pastur is not None and layer.tikhonov is not None
    same = replace(layer.tikhonov, gamma=layer.marchenko_pastur.lambda_plus)
    tolerance = replace(layer.tolerance, rounding=layer.tolerance.numpy)
    found = limits(replace(layer, tikhonov=same, tolerance=tolerance))
    names = [limit.name for limit in found]
    assert "numpy, rounding" in names and "\u221a\u03b3, √λ₊" in names and len(names) == 5
    assert [limit.value for limit in found] == sorted(limit.value for limit in found)


def test_values_are_drawn_against_their_index() -> None:
    layer = make_layer(gaussian(40, 17))
    expected = np.column_stack([np.arange(1, 18), layer.singular_values])
    np.testing.assert_array_equal(marks(plot_singular_values(axes(), layer), "o"), expected)


def test_exact_zeros_are_counted_and_drawn_on_the_axis() -> None:
    layer = make_layer(exact_zeros())
    values = layer.singular_values.copy()
    values[-7:] = 0
    ax = plot_singular_values(axes(), replace(layer, singular_values=values))
    crosses = marks(ax, "x")
    np.testing.assert_array_equal(crosses[:, 0], np.arange(24, 31))
    assert set(crosses[:, 1]) == {ax.get_ylim()[0]}
    assert ax.get_title(loc="right") == "7 of 30 exactly zero: crosses on the axis"
    assert len(marks(ax, "o")) == 23


def test_what_is_not_quite_zero_is_not_called_zero() -> None:
    layer = make_layer(np.diag(np.geomspace(1, 1e-30, 20)))
    ax = plot_singular_values(axes(), layer)
    n = len(marks(ax, "x"))
    assert 0 < n == (layer.singular_values < ax.get_ylim()[0]).sum()
    assert ax.get_title(loc="right").startswith(f"{n} of 20 below ")


def test_a_far_limit_does_not_flatten_the_values() -> None:
    layer = make_layer(gaussian(40, 30, scale=1e-9))
    ax = plot_singular_values(axes(), layer)
    assert "loose" not in levels(ax) and ax.get_ylim()[1] < layer.tolerance.loose
    assert any(t.get_text().startswith("loose: 0.001") and "↑" in t.get_text() for t in ax.texts)


def test_zero_as_a_limit_is_named() -> None:
    layer = make_layer(gaussian(40, 30))
    layer = replace(layer, tolerance=replace(layer.tolerance, loose=0.0))
    texts = [text.get_text() for text in plot_singular_values(axes(), layer).texts]
    assert "loose: 0 ↓" in texts


def test_of_many_values_as_many_are_drawn_as_can_be_told_apart() -> None:
    layer = large()
    dots = marks(plot_singular_values(axes(), layer), "o")
    assert len(dots) <= 400
    index = dots[:, 0].astype(int)
    np.testing.assert_array_equal(dots[:, 1], layer.singular_values[index - 1])
    assert (index[:3].tolist(), index[-1]) == ([1, 2, 3], layer.M)


@given(st.integers(1, 100_000))
def test_shown_indices_are_in_order_with_both_ends_and_no_gap(count: int) -> None:
    shown = shown_indices(count, MAX_POINTS)
    assert (shown[0], shown[-1]) == (0, count - 1) and len(shown) <= 400
    steps = np.diff(shown)
    assert (steps > 0).all()
    assert len(steps) == 0 or steps.max() <= 2 + count / 320


HEIGHTS = st.lists(st.floats(0, 1), min_size=1, max_size=7).map(sorted).map(np.array)


@given(HEIGHTS, st.floats(0.01, 0.15))
def test_spread_labels_are_apart_in_order_and_inside(heights: np.ndarray, spacing: float) -> None:
    places = spread(heights, spacing)
    assert (np.diff(places) >= spacing - 1e-9).all()
    assert places[0] >= -1e-9 and (places[-1] <= 1 + 1e-9)
    if (np.diff(heights) >= spacing).all():
        np.testing.assert_allclose(places, heights, atol=1e-9)


@given(HEIGHTS, st.floats(0.01, 0.15), st.integers(0, 2**32 - 1))
def test_no_other_places_are_nearer_to_the_lines(
    heights: np.ndarray, spacing: float, seed: int
) -> None:
    """Of all places that keep the distance, drawn at random between 0 and 1."""
    rng, places = np.random.default_rng(seed), spread(heights, spacing)
    room = 1 - spacing * (len(heights) - 1)
    for spread_out in (1.0, 0.01):
        base = places - spacing * np.arange(len(heights))
        moved = np.sort(np.clip(base + spread_out * rng.standard_normal(len(heights)), 0, room))
        other = moved + spacing * np.arange(len(heights))
        assert ((other - heights) ** 2).sum() >= ((places - heights) ** 2).sum() - 1e-9


def test_labels_move_apart_on_a_real_axis() -> None:
    """All four tolerances within a factor of two."""
    base: LayerResult = make_layer(gaussian(40, 30))
    close = Tolerances(1e-3, 1.1e-3, 1.2e-3, 1.3e-3)
    ax = plot_singular_values(axes(), replace(base, tolerance=close))
    ax.figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert all(lower.y1 <= upper.y0 for lower, upper in zip(boxes, boxes[1:]))
