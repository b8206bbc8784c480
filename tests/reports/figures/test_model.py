"""The figures of a whole model: numbers, reference lines, names, and nothing over anything else."""

import warnings
from typing import Any, Callable

import numpy as np
import pytest

from allennlp_analyze.reports.figures import model as plots
from allennlp_analyze.reports.figures.plots import MODEL_HEIGHT
from allennlp_analyze.reports.figures.style import WIDTH, house_style, new_figure
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.results.verdict import MIN_Q, Verdict
from allennlp_analyze.text.names import figure_name
from tests.support.figure_cases import LONG_NAME, MODELS, axes, collisions, exact_zeros
from tests.support.report_factory import ODD_NAMES, gaussian, heavy_tailed, make_layer, make_report

pytestmark = pytest.mark.newest_python
MODEL_PLOTS = tuple(plot.draw for plot in plots.MODEL_PLOTS)


@pytest.fixture(scope="module", params=MODELS)
def report(request: pytest.FixtureRequest) -> ModelReport:
    return MODELS[request.param]()


@pytest.mark.parametrize("plot", MODEL_PLOTS)
@pytest.mark.no_cover
def test_nothing_covers_anything_and_every_axis_is_labelled(
    plot: Callable[..., Any], report: ModelReport
) -> None:
    with house_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        ax = new_figure(WIDTH, MODEL_HEIGHT, constrained=True).add_subplot()
        assert plot(ax, report) is ax
        assert list(collisions(ax.figure)) == []
    assert not ax.get_title(loc="left") and not ax.get_title()
    if not ax.axison:
        return
    assert "(" in ax.get_xlabel(), "a unit"
    assert ax.get_ylabel() or plot is plots.plot_rank_loss  # whose rows have names
    boxes = [text.get_window_extent() for text in ax.texts]
    bars = [bar.get_window_extent() for bar in ax.patches]
    assert not [1 for box in boxes for bar in bars if box.overlaps(bar)], "numbers beside the bars"
    for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert sum(bool(tick.get_text()) for tick in ticks) >= 1


def test_what_covers_something_is_found() -> None:
    """The check of the test before this one."""
    with house_style():
        ax: Any = new_figure(WIDTH, MODEL_HEIGHT, constrained=True).add_subplot()
        plots.plot_alpha(ax, MODELS["one square layer"]())
        ax.get_legend().remove()
        ax.legend(loc="upper right")
        assert list(collisions(ax.figure)) == ["'legend' covers the data"]
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0))
        assert any("covers 'legend'" in found for found in collisions(ax.figure))


def test_min_singular_values_leave_out_square_layers() -> None:
    report = make_report(
        make_layer(gaussian(40, 20)),
        make_layer(gaussian(20, 20)),
        make_layer(np.zeros((9, 4))),
        make_layer(gaussian(40, 20, scale=1e-6), verdict=Verdict.NEAR_COLLAPSE),
    )
    ax: Any = plots.plot_min_singular_values(axes(), report)
    assert sum(bar.get_height() for bar in ax.patches) == 2
    assert ax.get_xscale() == "log"
    assert "1 layer with exactly 0" in ax.get_title(loc="right")


def test_alpha_has_reference_lines_and_counts_outliers() -> None:
    layers = [make_layer(heavy_tailed(60, 40, seed)) for seed in range(5)]
    layers.append(make_layer(gaussian(4000, 20)))
    alphas = [layer.power_law.alpha for layer in layers if layer.power_law]
    assert max(alphas) > 14
    ax: Any = plots.plot_alpha(axes(), make_report(*layers))
    assert sum(bar.get_height() for bar in ax.patches) == sum(
        alpha <= ax.get_xlim()[1] for alpha in alphas
    )
    assert "1 layer beyond" in ax.get_title(loc="right")


def test_q_alpha_shows_one_point_per_fit() -> None:
    report = make_report(
        make_layer(heavy_tailed(60, 40)), make_layer(heavy_tailed(90, 30), kind="embedding")
    )
    ax = plots.plot_q_alpha(axes(), report)
    points = np.concatenate([group.get_offsets() for group in ax.collections])
    expected = [(layer.Q, layer.power_law.alpha) for layer in report.layers if layer.power_law]
    np.testing.assert_allclose(np.sort(points, 0), np.sort(expected, 0))


def test_rank_loss_names_those_that_lose() -> None:
    losing = make_layer(gaussian(40, 3) @ gaussian(3, 20, 1), "bad_layer")
    ax: Any = plots.plot_rank_loss(axes(), make_report(losing, make_layer(gaussian(9, 5))))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bad_layer"]
    assert ax.patches[0].get_width() == pytest.approx(100 * 17 / 20)
    assert ax.get_title(loc="right") == "1 layer loses none"


@pytest.mark.parametrize("plot", MODEL_PLOTS)
def test_an_empty_model_says_so(plot: Callable[..., Any]) -> None:
    ax = plot(axes(), make_report())
    assert len(ax.texts) == 1


def lines(ax: Any) -> dict[str, tuple[float, ...]]:
    """Where the labelled lines stand that cross the axes, by label."""
    found = {}
    for line in ax.lines:
        x, y = line.get_data()
        upright = x[0] == x[1]
        ends = line.get_transform().transform(np.column_stack([x, y]))[:, 1 if upright else 0]
        np.testing.assert_allclose(ends, ax.bbox.intervaly if upright else ax.bbox.intervalx)
        found[line.get_label()] = (x[0],) if upright else (y[0],)
    return found


@pytest.mark.parametrize("plot", [plots.plot_alpha, plots.plot_q_alpha])
def test_reference_lines_are_where_theory_has_them_and_in_view(
    plot: Callable[..., Any], report: ModelReport
) -> None:
    ax = plot(axes(), report)
    if not any(layer.power_law for layer in report.layers):
        assert not ax.axison
        return
    found = lines(ax)
    upright = {f"Q = {MIN_Q}": (MIN_Q,)} if plot is plots.plot_q_alpha else {}
    assert found == {"\u03b1 = 2": (2,), "\u03b1 = 6": (6,), **upright}
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert legend >= set(found)
    for label, (place,) in found.items():
        across = plot is plots.plot_q_alpha and label not in upright
        low, high = ax.get_ylim() if across else ax.get_xlim()
        assert low < place < high


def test_every_point_is_in_view(report: ModelReport) -> None:
    ax = plots.plot_q_alpha(axes(), report)
    for points in ax.collections:
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        q, alpha = points.get_offsets().T
        assert (
            (left < q).all() and (q < right).all() and (low < alpha).all() and (alpha < high).all()
        )


def test_no_bar_of_alpha_straddles_a_line(report: ModelReport) -> None:
    ax: Any = plots.plot_alpha(axes(), report)
    for bar in ax.patches:
        for place in (2, 6):
            assert not bar.get_x() + 1e-9 < place < bar.get_x() + bar.get_width() - 1e-9


def test_a_model_of_random_matrices_has_bars() -> None:
    """Their alphas are far beyond 6: the axis goes there."""
    ax: Any = plots.plot_alpha(axes(), MODELS["large alphas"]())
    assert sum(bar.get_height() for bar in ax.patches) >= 8


def test_names_are_shortened_as_in_every_figure() -> None:
    names = [*ODD_NAMES[:10], LONG_NAME]
    report = make_report(*(make_layer(exact_zeros(), name) for name in names))
    ax = plots.plot_rank_loss(axes(), report)
    assert [label.get_text() for label in ax.get_yticklabels()] == [figure_name(n) for n in names]
