"""The empirical spectral density of one layer: its eigenvalues beside what theory draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from allennlp_analyze.reports.style import (
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
from allennlp_analyze.results import LayerResult, MarchenkoPastur, PowerLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_POINTS = 200
MAX_BINS = 60
# Beyond this many times the bulk a linear axis would show one bar: the view is cut there.
CROP_AT = 4.0
# Largest eigenvalues beyond which float64 cannot hold the densities, their limits and ticks.
DRAWABLE = (1e-250, 1e250)
X_LABEL = f"eigenvalue {LAMBDA} of WᵀW"
Y_LABEL = f"density {RHO}({LAMBDA}), per unit {LAMBDA}"


def plot_esd_linear(ax: "Axes", layer: LayerResult, legend: bool = True) -> "Axes":
    """Histogram density of the eigenvalues of W^T W on linear axes.

    With the Marchenko-Pastur density of the bulk, its edges, and the fitted power law. Where few
    large eigenvalues would flatten the picture, the axis ends early and says what lies beyond.
    """
    nothing = _why_not_drawn(layer)
    if nothing:
        return empty(ax, nothing)
    eigenvalues = layer.eigenvalues
    view_end = linear_view_end(layer)
    shown = eigenvalues[eigenvalues <= view_end]
    edges = linear_edges(shown)
    density = _draw_histogram(ax, eigenvalues, edges, fill_from=0.0)
    bulk = _draw_theory(ax, layer)
    ax.set_xlim(min(edges[0], 0.0), view_end)
    peak = float(density.max())
    # The law's density is infinite at 0 for Q = 1.
    ax.set_ylim(0, 1.1 * min(max(peak, 0 if bulk is None else bulk.density.max()), 1.5 * peak))
    linear_ticks(ax.xaxis, ax.get_xlim()[1])
    linear_ticks(ax.yaxis, ax.get_ylim()[1])
    n_beyond = len(eigenvalues) - len(shown)
    if n_beyond:
        note(ax, f"{n_beyond} beyond, up to {eigenvalues[0]:.3g} →")
    return _finish(ax, legend)


def plot_esd_loglog(ax: "Axes", layer: LayerResult, legend: bool = True) -> "Axes":
    """The same on logarithmic axes, where a power law is a straight line.

    Eigenvalues that are zero by the tolerance `numpy` are counted in the title, not drawn.
    """
    nothing = _why_not_drawn(layer)
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


def _why_not_drawn(layer: LayerResult) -> str:
    """What stands in the place of a spectrum without a density; empty where there is one."""
    if not layer.max_singular_value > 0:
        return "no eigenvalue above zero"
    # The square itself could overflow.
    low, high = (limit**0.5 for limit in DRAWABLE)
    if not low < layer.max_singular_value < high:
        return "eigenvalues beyond the range of float64"
    return ""


def is_positive(layer: LayerResult) -> np.ndarray:
    """(M,) bool: which eigenvalues are more than rounding noise."""
    return layer.singular_values > layer.tolerance.numpy


def bulk_of(layer: LayerResult) -> Optional[MarchenkoPastur]:
    """The bulk's law where there is one to draw: not of constants, not of rounding noise."""
    mp = layer.marchenko_pastur
    if (
        mp is None
        or mp.sigma <= 0
        or mp.lambda_plus <= max(mp.lambda_minus, layer.tolerance.numpy**2)
    ):
        return None
    return mp


def linear_view_end(layer: LayerResult) -> float:
    """Just beyond the largest eigenvalue, or beyond the bulk where the former is far away."""
    eigenvalues = layer.eigenvalues
    positive = eigenvalues[is_positive(layer)]
    if not len(positive):
        return 1.05 * float(eigenvalues[0]) or 1.0
    largest, body = float(positive[0]), float(np.quantile(positive, 0.9))
    mp = bulk_of(layer)
    if mp is not None:
        body = max(body, mp.lambda_plus)
    if CROP_AT * body < largest:
        return 1.5 * body
    return 1.05 * (max(largest, body) if body < CROP_AT * largest else largest)


def log_view(layer: LayerResult, low: float, high: float) -> tuple[float, float]:
    """The range of the eigenvalues, and the bulk's edges where they are near."""
    mp = bulk_of(layer)
    if mp is not None:
        low = min(low, mp.lambda_minus) if mp.lambda_minus > low / 3 else low
        high = max(high, mp.lambda_plus) if mp.lambda_plus < high * 3 else high
    return low / 1.3, high * 1.3


def linear_edges(values: np.ndarray) -> np.ndarray:
    """Bins over the range of `values`; one bin around them where they are (nearly) the same."""
    low, high = float(values.min()), float(values.max())
    if high - low > 0.01 * high:
        return np.linspace(low, high, _bin_count(len(values)) + 1)
    margin = 0.01 * high or 0.01
    return np.array([low - margin, high + margin])


def log_edges(values: np.ndarray) -> np.ndarray:
    """The same in logarithms; `values` > 0."""
    low, high = float(values.min()), float(values.max())
    if high > 1.01 * low:
        return np.geomspace(low * (1 - 1e-9), high * (1 + 1e-9), _bin_count(len(values)) + 1)
    return np.array([low / 1.02, high * 1.02])


def _bin_count(n_values: int) -> int:
    return int(min(MAX_BINS, max(8, 2 * np.sqrt(n_values))))


def histogram_density(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Histogram that would integrate to 1 if `edges` covered all `values`."""
    return np.asarray(np.histogram(values, edges)[0] / (len(values) * np.diff(edges)))


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


def _draw_theory(ax: "Axes", layer: LayerResult) -> Optional["Curve"]:
    """Draw the fits that there are; the bulk's curve."""
    mp, curve = bulk_of(layer), None
    if mp is not None:
        curve = bulk_curve(mp, layer.M)
        _draw_bulk(ax, mp, curve)
    if layer.power_law is not None:
        _draw_power_law(ax, layer.power_law, layer.max_singular_value**2, layer.M)
    return curve


def _draw_bulk(ax: "Axes", mp: MarchenkoPastur, curve: "Curve") -> None:
    # Not called sigma: beside the bulk that is the name of the singular values.
    label = f"Marchenko-Pastur bulk, entries' s.d. {mp.sigma:.3g}"
    line(ax, curve.x, curve.density, color=GREEN, lw=1.5, label=label)
    label = f"edges {LAMBDA_MINUS} = {mp.lambda_minus:.3g}, {LAMBDA_PLUS} = {mp.lambda_plus:.3g}"
    places = [edge for edge in (mp.lambda_minus, mp.lambda_plus) if edge > 0]
    _vertical_lines(ax, places, color=GREEN, lw=1.1, ls=":", label=label)


def _draw_power_law(ax: "Axes", fit: PowerLaw, largest: float, M: int) -> None:
    x = np.geomspace(fit.xmin, max(largest, fit.xmin), CURVE_POINTS)
    # In logarithms: the powers themselves overflow for a large alpha.
    log_density = np.log((fit.alpha - 1) / fit.xmin) - fit.alpha * np.log(x / fit.xmin)
    label = f"power law {ALPHA} = {fit.alpha:.2f}, D = {fit.D:.3f}"
    density = np.exp(log_density) * fit.n_tail / M
    line(ax, x, density, color=VERMILLION, lw=1.5, ls="--", label=label)
    label = f"xmin = {fit.xmin:.3g} ({fit.n_tail} in the tail)"
    _vertical_lines(ax, [fit.xmin], color=ORANGE, lw=1.2, ls="-.", label=label)


def _vertical_lines(ax: "Axes", places: Sequence[float], **style: Any) -> None:
    """One curve that crosses the whole height at each of `places`."""
    x = [value for place in places for value in (place, place, np.nan)]
    y = [0.0, 1.0, np.nan] * len(places)
    line(ax, x, y, transform=ax.get_xaxis_transform(), **style)


@dataclass(frozen=True)
class Curve:
    """Points to draw: `x` (n,) eigenvalues, `density` (n,) per unit of eigenvalue."""

    x: np.ndarray
    density: np.ndarray


def bulk_curve(mp: MarchenkoPastur, M: int, points: int = CURVE_POINTS) -> Curve:
    """The Marchenko-Pastur density of the M eigenvalues of W^T W, spikes left out of its weight.

    sqrt((lambda_plus - x)(x - lambda_minus)) / (2 pi sigma^2 M x), times (M - n_spikes) / M.
    """
    # Points gather at the edges, where the density has infinite slope.
    position = (1 - np.cos(np.linspace(0, np.pi, points + 2)[1:-1])) / 2
    x = mp.lambda_minus + (mp.lambda_plus - mp.lambda_minus) * position
    root = np.sqrt(np.maximum((mp.lambda_plus - x) * (x - mp.lambda_minus), 0))
    share = (M - mp.n_spikes) / M
    return Curve(x, share * root / (2 * np.pi * mp.sigma**2 * M * x))


def _finish(ax: "Axes", legend: bool) -> "Axes":
    ax.set_xlabel(X_LABEL)
    ax.set_ylabel(Y_LABEL)
    if legend:
        legend_below(ax)
    return ax
