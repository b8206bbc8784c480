"""The density of the eigenvalues, and theory beside it, are drawn where the report says."""

import warnings
from typing import Any, Callable

import numpy as np
import pytest

from allennlp_analyze.reports.figures import density_plots as plots
from allennlp_analyze.reports.figures.density import bulk_curve
from allennlp_analyze.reports.figures.style import ALPHA
from tests.support.figure_cases import CASES, axes, spiked
from tests.support.report_factory import gaussian, heavy_tailed, make_layer

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("plot", [plots.plot_esd_linear, plots.plot_esd_loglog])
def test_every_spectrum_has_a_view(plot: Callable[..., Any], case: str) -> None:
    """That it can be drawn, too, is held where nothing covers anything (test_plots)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = axes()
        assert plot(ax, CASES[case]()) is ax
    for low, high in (ax.get_xlim(), ax.get_ylim()):
        assert np.isfinite([low, high]).all() and low < high


def heights(ax: Any) -> tuple[np.ndarray, np.ndarray]:
    [stairs] = ax.patches
    data = stairs.get_data()
    return np.asarray(data.values), np.asarray(data.edges)


def test_the_histogram_is_a_density() -> None:
    layer = make_layer(gaussian(300, 150))
    values, edges = heights(plots.plot_esd_linear(axes(), layer))
    assert (values * np.diff(edges)).sum() == pytest.approx(1)
    expected = np.histogram(layer.eigenvalues, edges, density=True)[0]
    np.testing.assert_allclose(values, expected)


def test_a_cut_view_says_what_lies_beyond() -> None:
    layer = make_layer(spiked())
    ax = plots.plot_esd_linear(axes(), layer)
    assert ax.get_xlim()[1] < layer.eigenvalues[0]
    n_beyond = int((layer.eigenvalues > ax.get_xlim()[1]).sum())
    assert ax.get_title(loc="right").startswith(f"{n_beyond} beyond, up to ")
    values, edges = heights(ax)
    assert (values * np.diff(edges)).sum() == pytest.approx(1 - n_beyond / layer.M)


def test_numerical_zeros_are_counted_not_drawn() -> None:
    layer = make_layer(gaussian(40, 3) @ gaussian(3, 20, 1))
    ax = plots.plot_esd_loglog(axes(), layer)
    assert ax.get_title(loc="right") == "17 of 20 zero (numpy): not drawn"
    assert ax.get_xlim()[0] > layer.eigenvalues[2] / 10


@pytest.mark.parametrize(("N", "M"), [(200, 100), (500, 50), (100, 100)])
def test_the_bulk_curve_is_the_law_of_random_matrices(N: int, M: int) -> None:
    layer = make_layer(gaussian(N, M))
    assert layer.marchenko_pastur is not None
    curve = bulk_curve(layer.marchenko_pastur, M)
    total = float((np.diff(curve.x) * (curve.density[1:] + curve.density[:-1]) / 2).sum())
    share = 1 - layer.marchenko_pastur.n_spikes / M
    # At Q = 1 the trapezoids miss some of the pole at 0.
    assert total == pytest.approx(share, abs=0.03 if N == M else 1e-3)
    mean = float((np.diff(curve.x) * ((curve.x * curve.density)[1:])).sum()) / share
    assert mean == pytest.approx(N * layer.marchenko_pastur.sigma**2, rel=0.02)


@pytest.mark.parametrize("plot", [plots.plot_esd_linear, plots.plot_esd_loglog])
def test_fit_and_edges_are_drawn_where_the_report_says(plot: Callable[..., Any]) -> None:
    layer = make_layer(heavy_tailed(300, 200))
    fit, mp = layer.power_law, layer.marchenko_pastur
    assert fit is not None and mp is not None
    ax = plot(axes(), layer)
    assert upright_lines(ax) == sorted([fit.xmin, mp.lambda_minus, mp.lambda_plus])
    texts = " ".join(text.get_text() for text in ax.get_legend().get_texts())
    assert f"{ALPHA} = {fit.alpha:.2f}" in texts and f"D = {fit.D:.3f}" in texts
    [law] = [line for line in ax.lines if line.get_label().startswith("power law")]
    x, y = law.get_data()
    assert (x[0], x[-1]) == (pytest.approx(fit.xmin), pytest.approx(layer.eigenvalues[0]))
    slope = np.diff(np.log(y)) / np.diff(np.log(x))
    np.testing.assert_allclose(slope, -fit.alpha)
    # The integral from xmin to infinity is the tail's share of the eigenvalues.
    assert y[0] * fit.xmin / (fit.alpha - 1) == pytest.approx(fit.n_tail / layer.M)


@pytest.mark.parametrize(
    ("matrix", "scale"),
    [
        *((gaussian(40, 30), scale) for scale in (1e-60, 0.01, 1, 10)),
        *((heavy_tailed(300, 200), scale) for scale in (0.1, 100, 1e60)),
        (np.eye(24), 1),
    ],
)
@pytest.mark.parametrize("plot", [plots.plot_esd_linear, plots.plot_esd_loglog])
@pytest.mark.no_cover
def test_tick_labels_say_where_they_stand(
    plot: Callable[..., Any], matrix: np.ndarray, scale: float
) -> None:
    ax = plot(axes(), make_layer(scale * matrix))
    ax.figure.canvas.draw()
    for axis in (ax.xaxis, ax.yaxis):
        unit = number(axis.get_offset_text().get_text().strip("\u00d7") or "1")
        labels = [number(text.get_text()) for text in axis.get_ticklabels()]
        assert len(labels) >= 2 and (unit == 1 or max(labels) >= 1)
        np.testing.assert_allclose(np.multiply(labels, unit), axis.get_ticklocs(), 1e-3)


def number(text: str) -> float:
    digits = text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(text) if digits == text else 10.0 ** int(digits[len("10") :])


def upright_lines(ax: Any) -> list[float]:
    """Where vertical lines stand that reach from the bottom of the axes to their top."""
    low, high = ax.bbox.intervaly
    found = []
    for line in ax.lines:
        x, y = line.get_data()
        ends = line.get_transform().transform(np.column_stack([x, y]))[:, 1]
        for at in range(len(x) - 1):
            if x[at] == x[at + 1] and np.allclose(ends[at : at + 2], (low, high)):
                found.append(x[at])
    return sorted(found)
