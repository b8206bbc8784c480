"""Computes the bins, ranges and curves from which figures and pages draw a spectrum."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from allennlp_analyze.results.layer import LayerResult, MarchenkoPastur, PowerLaw

CURVE_POINTS = 200
MAX_BINS = 60
# A linear axis is cut at this many times the bulk; beyond, it would show a single bar.
CROP_AT = 4.0
# Range of the largest eigenvalue for which float64 can represent densities, limits and ticks.
DRAWABLE = (1e-250, 1e250)
# Range of the largest singular value for which float64 can represent the ends of the axis.
DRAWABLE_VALUES = (1e-280, 1e300)
ENDS = 40


def why_not_drawn(layer: LayerResult) -> str:
    """Returns the text shown in place of a spectrum without a density, or ""."""
    if not layer.max_singular_value > 0:
        return "no eigenvalue above zero"
    # The square could overflow.
    low, high = (limit**0.5 for limit in DRAWABLE)
    if not low < layer.max_singular_value < high:
        return "eigenvalues beyond the range of float64"
    return ""


def why_no_values(layer: LayerResult) -> str:
    """Returns the same for the singular values."""
    if not layer.max_singular_value > 0:
        return "no singular value above zero"
    if not DRAWABLE_VALUES[0] < layer.max_singular_value < DRAWABLE_VALUES[1]:
        return "singular values beyond the range of float64"
    return ""


def is_positive(layer: LayerResult) -> np.ndarray:
    """Returns (M,) bool: which eigenvalues are above rounding noise."""
    return layer.singular_values > layer.tolerance.numpy


def bulk_of(layer: LayerResult) -> Optional[MarchenkoPastur]:
    """Returns the law of the bulk, or None for constants and rounding noise."""
    mp = layer.marchenko_pastur
    if (
        mp is None
        or mp.sigma <= 0
        or mp.lambda_plus <= max(mp.lambda_minus, layer.tolerance.numpy**2)
    ):
        return None
    return mp


def linear_view_end(layer: LayerResult) -> float:
    """Just beyond the largest eigenvalue, or beyond the bulk if the former is far away."""
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
    """The range of the eigenvalues, including the bulk's edges if they are near."""
    mp = bulk_of(layer)
    if mp is not None:
        low = min(low, mp.lambda_minus) if mp.lambda_minus > low / 3 else low
        high = max(high, mp.lambda_plus) if mp.lambda_plus < high * 3 else high
    return low / 1.3, high * 1.3


def linear_edges(values: np.ndarray) -> np.ndarray:
    """Bins over the range of `values`; one bin if they are (nearly) equal."""
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


def linear_top(density: np.ndarray, bulk: Optional["Curve"]) -> float:
    """The end of a linear axis, above the bars and the bulk, whose density may be infinite."""
    peak = float(density.max())
    highest = peak if bulk is None else max(peak, float(bulk.density.max()))
    return 1.1 * min(highest, 1.5 * peak)


def shown_indices(count: int, most: int) -> np.ndarray:
    """Indices of the values to draw: all, or at most `most`, with those at both ends."""
    if count <= most:
        return np.arange(count)
    ends = min(ENDS, most // 3)
    between = np.linspace(ends, count - 1 - ends, most - 2 * ends).round().astype(int)
    return np.concatenate([np.arange(ends), between, np.arange(count - ends, count)])


@dataclass(frozen=True)
class Curve:
    """Points to draw: `x` (n,) eigenvalues, `density` (n,) per unit of eigenvalue."""

    x: np.ndarray
    density: np.ndarray


def bulk_curve(mp: MarchenkoPastur, M: int, points: int = CURVE_POINTS) -> Curve:
    """The Marchenko-Pastur density of the M eigenvalues of W^T W, weighted without the spikes.

    sqrt((lambda_plus - x)(x - lambda_minus)) / (2 pi sigma^2 M x), times (M - n_spikes) / M.
    """
    # Points are denser at the edges, where the density has infinite slope.
    position = (1 - np.cos(np.linspace(0, np.pi, points + 2)[1:-1])) / 2
    x = mp.lambda_minus + (mp.lambda_plus - mp.lambda_minus) * position
    root = np.sqrt(np.maximum((mp.lambda_plus - x) * (x - mp.lambda_minus), 0))
    share = (M - mp.n_spikes) / M
    return Curve(x, share * root / (2 * np.pi * mp.sigma**2 * M * x))


def law_curve(fit: PowerLaw, largest: float, M: int, points: int = CURVE_POINTS) -> Curve:
    """The density of the fitted power law from xmin to the `largest` of the M eigenvalues.

    (alpha - 1) / xmin (x / xmin)^-alpha, times the share of the eigenvalues in the tail.
    """
    x = np.geomspace(fit.xmin, max(largest, fit.xmin), points)
    # Computed in logarithms, because the powers overflow for a large alpha.
    logs = np.log((fit.alpha - 1) / fit.xmin) - fit.alpha * np.log(x / fit.xmin)
    return Curve(x, np.exp(logs) * fit.n_tail / M)
