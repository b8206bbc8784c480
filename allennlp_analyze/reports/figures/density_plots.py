"""Plots the empirical spectral density (ESD) of a layer with the theoretical curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from allennlp_analyze.reports.figures.density import (
    Curve,
    bulk_curve,
    bulk_of,
    histogram_density,
    is_positive,
    law_curve,
    linear_edges,
    linear_top,
    linear_view_end,
    log_edges,
    log_view,
    why_not_drawn,
)
from allennlp_analyze.reports.figures.style import (
    ALPHA,
    BLUE,
    GREEN,
    LAMBDA,
    LAMBDA_MINUS,
    LAMBDA_PLUS,
    ORANGE,
    RHO,
    VERMILLION,
    empty,
    legend_below,
    line,
    linear_ticks,
    log_ticks,
    note,
)
from allennlp_analyze.results.layer import LayerResult, MarchenkoPastur, PowerLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

X_LABEL = f"eigenvalue {LAMBDA} of WᵀW"
Y_LABEL = f"density {RHO}({LAMBDA})"


def plot_esd_linear(ax: "Axes", layer: LayerResult, legend: bool = True) -> "Axes":
    """Histogram density of the eigenvalues of W^T W on linear axes.

    Includes the Marchenko-Pastur density of the bulk, its edges, and the fitted power law. If a few
    large eigenvalues would flatten the picture, the axis ends early and a note counts the rest.
    """
    nothing = why_not_drawn(layer)
    if nothing:
        return empty(ax, nothing)
    eigenvalues = layer.eigenvalues
    view_end = linear_view_end(layer)
    shown = eigenvalues[eigenvalues <= view_end]
    edges = linear_edges(shown)
    density = _draw_histogram(ax, eigenvalues, edges, fill_from=0.0)
    bulk = _draw_theory(ax, layer)
    ax.set_xlim(min(edges[0], 0.0), view_end)
    ax.set_ylim(0, linear_top(density, bulk))
    linear_ticks(ax.xaxis, ax.get_xlim()[1])
    linear_ticks(ax.yaxis, ax.get_ylim()[1])
    n_beyond = len(eigenvalues) - len(shown)
    if n_beyond:
        note(ax, f"{n_beyond} beyond, up to {eigenvalues[0]:.3g} →")
    return _finish(ax, legend)


def plot_esd_loglog(ax: "Axes", layer: LayerResult, legend: bool = True) -> "Axes":
    """The same on logarithmic axes, where a power law is a straight line.

    Eigenvalues that are zero by the tolerance `numpy` are not drawn, but counted in the title.
    """
    nothing = why_not_drawn(layer)
    if nothing:
        return empty(ax, nothing)
    eigenvalues = layer.eigenvalues
    positive = eigenvalues[is_positive(layer)]
    if not len(positive):
        return empty(ax, "no eigenvalue above the tolerance numpy")
    edges = log_edges(positive)
    density = histogram_density(eigenvalues, edges)
    floor, top = density[density > 0].min() / 3, density.max() * 3
    if ax.get_xscale() != "log":
        ax.set_xscale("log")
        ax.set_yscale("log")
    _draw_histogram(ax, eigenvalues, edges, fill_from=floor)
    _draw_theory(ax, layer)
    ax.set_xlim(*log_view(layer, edges[0], edges[-1]))
    ax.set_ylim(floor, top)
    log_ticks(ax.xaxis, *ax.get_xlim())
    log_ticks(ax.yaxis, *ax.get_ylim())
    n_zero = len(eigenvalues) - len(positive)
    if n_zero:
        note(ax, f"{n_zero} of {layer.M} zero (numpy): not drawn")
    return _finish(ax, legend)


def _draw_histogram(
    ax: "Axes", values: np.ndarray, edges: np.ndarray, fill_from: float
) -> np.ndarray:
    from matplotlib.patches import StepPatch

    density = histogram_density(values, edges)
    bars = StepPatch(
        np.maximum(density, fill_from),
        edges,
        baseline=fill_from,
        fill=True,
        linewidth=0,
        color=BLUE,
        alpha=0.45,
        label="1 eigenvalue" if len(values) == 1 else f"{len(values)} eigenvalues",
    )
    ax.add_artist(bars)
    return density


def _draw_theory(ax: "Axes", layer: LayerResult) -> Optional[Curve]:
    """Draw the available fits; returns the curve of the bulk."""
    mp, curve = bulk_of(layer), None
    if mp is not None:
        curve = bulk_curve(mp, layer.M)
        _draw_bulk(ax, mp, curve)
    if layer.power_law is not None:
        _draw_power_law(ax, layer.power_law, layer.max_singular_value**2, layer.M)
    return curve


def _draw_bulk(ax: "Axes", mp: MarchenkoPastur, curve: Curve) -> None:
    # Not called sigma, because that is the name of the singular values.
    label = f"Marchenko-Pastur bulk, entries' s.d. {mp.sigma:.3g}"
    line(ax, curve.x, curve.density, color=GREEN, lw=1.5, label=label)
    label = f"edges {LAMBDA_MINUS} = {mp.lambda_minus:.3g}, {LAMBDA_PLUS} = {mp.lambda_plus:.3g}"
    places = [edge for edge in (mp.lambda_minus, mp.lambda_plus) if edge > 0]
    _vertical_lines(ax, places, color=GREEN, lw=1.1, ls=":", label=label)


def _draw_power_law(ax: "Axes", fit: PowerLaw, largest: float, M: int) -> None:
    curve = law_curve(fit, largest, M)
    label = f"power law {ALPHA} = {fit.alpha:.2f}, D = {fit.D:.3f}"
    line(ax, curve.x, curve.density, color=VERMILLION, lw=1.5, ls="--", label=label)
    label = f"xmin = {fit.xmin:.3g} ({fit.n_tail} in the tail)"
    _vertical_lines(ax, [fit.xmin], color=ORANGE, lw=1.2, ls="-.", label=label)


def _vertical_lines(ax: "Axes", places: Sequence[float], **style: Any) -> None:
    """Draw one curve that crosses the whole height at each of `places`."""
    x = [value for place in places for value in (place, place, np.nan)]
    y = [0.0, 1.0, np.nan] * len(places)
    line(ax, x, y, transform=ax.get_xaxis_transform(), **style)


def _finish(ax: "Axes", legend: bool) -> "Axes":
    ax.set_xlabel(X_LABEL)
    ax.set_ylabel(Y_LABEL)
    if legend:
        legend_below(ax)
    return ax
