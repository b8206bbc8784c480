"""Reduces a layer's spectrum to the few numbers from which a page draws it."""

from typing import Any, Optional

import numpy as np

from allennlp_analyze.reports.figures.density import (
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
    shown_indices,
    why_no_values,
    why_not_drawn,
)
from allennlp_analyze.results.layer import LayerResult

MAX_VALUES = 240  # singular values to draw
CURVE_POINTS = 60
DIGITS = 5
# A value below this fraction of the largest is drawn at the foot of the logarithmic axis.
FOOT = 1e-18


def spectrum_data(layer: LayerResult) -> dict[str, Any]:
    """Returns the data of `layer` for page.js: histograms, curves, limits and singular values.

    A part that cannot be drawn is None, and `nothing` says why. Edges of bins are the first, the
    last, and the number of bins. `exact` is left out where it is the same as `value`.
    """
    no_density = why_not_drawn(layer)
    outline = outline_data(layer)
    values = outline["values"]
    if values is not None and values["exact"] == values["value"]:
        del values["exact"]
    return {
        **outline,
        "loglog": _packed(outline["loglog"]),
        "linear": None if no_density else _packed(_linear(layer)),
        "bulk": None if no_density else _bulk(layer),
        "law": None if no_density else _law(layer),
        "limits": _limits(layer),
    }


def outline_data(layer: LayerResult) -> dict[str, Any]:
    """Returns the data for two spectra in one figure."""
    no_density, no_values = why_not_drawn(layer), why_no_values(layer)
    return {
        "loglog": None if no_density else _loglog(layer),
        "values": None if no_values else _values(layer),
        "nothing": [no_density, no_values],
    }


def _packed(view: Optional[dict[str, Any]]) -> Optional[dict[str, Any]]:
    """Replaces the edges of equal bins, or bins equal in logarithms, by both ends and a count."""
    if view is None:
        return None
    edges = view["edges"]
    return {**view, "edges": [edges[0], edges[-1], len(edges) - 1]}


def numbers(values: Any) -> list[float]:
    """Round to few digits: a drawing needs no more, and the page stays small."""
    # A float of Python is formatted three times as fast as one of numpy.
    return [float(f"{value:.{DIGITS}g}") for value in np.asarray(values).tolist()]


def _loglog(layer: LayerResult) -> Optional[dict[str, Any]]:
    positive = layer.eigenvalues[is_positive(layer)]
    if not len(positive):
        return None
    edges = log_edges(positive)
    density = histogram_density(layer.eigenvalues, edges)
    low, high = log_view(layer, edges[0], edges[-1])
    n_zero = layer.M - len(positive)
    return {
        "edges": numbers(edges),
        "density": numbers(density),
        "x": {"min": low, "max": high, "log": True},
        "y": {
            "min": float(density[density > 0].min()) / 3,
            "max": float(density.max()) * 3,
            "log": True,
        },
        "note": f"{n_zero} of {layer.M} are zero: not drawn." if n_zero else "",
    }


def _linear(layer: LayerResult) -> dict[str, Any]:
    eigenvalues = layer.eigenvalues
    end = linear_view_end(layer)
    shown = eigenvalues[eigenvalues <= end]
    edges = linear_edges(shown)
    density = histogram_density(eigenvalues, edges)
    bulk = bulk_of(layer)
    n_beyond = len(eigenvalues) - len(shown)
    return {
        "edges": numbers(edges),
        "density": numbers(density),
        "x": {"min": min(float(edges[0]), 0.0), "max": end},
        "y": {
            "min": 0.0,
            "max": linear_top(density, None if bulk is None else bulk_curve(bulk, layer.M)),
        },
        "note": f"{n_beyond} beyond, up to {eigenvalues[0]:.3g}." if n_beyond else "",
    }


def _bulk(layer: LayerResult) -> Optional[dict[str, Any]]:
    bulk = bulk_of(layer)
    if bulk is None:
        return None
    curve = bulk_curve(bulk, layer.M, CURVE_POINTS)
    return {
        "sigma": bulk.sigma,
        "edges": [bulk.lambda_minus, bulk.lambda_plus],
        "x": numbers(curve.x),
        "y": numbers(curve.density),
    }


def _law(layer: LayerResult) -> Optional[dict[str, Any]]:
    fit = layer.power_law
    if fit is None:
        return None
    curve = law_curve(fit, layer.max_singular_value**2, layer.M, CURVE_POINTS // 2)
    return {
        "alpha": fit.alpha,
        "D": fit.D,
        "xmin": fit.xmin,
        "x": numbers(curve.x),
        "y": numbers(curve.density),
    }


def _values(layer: LayerResult) -> dict[str, Any]:
    values = layer.singular_values
    index = shown_indices(len(values), MAX_VALUES)
    foot = max(float(values[values > 0].min()), FOOT * float(values[0]))
    lowest = min([foot, *(at for _, at, _ in _limits(layer) if at > FOOT * values[0])])
    n_zero = int(np.count_nonzero(values < foot))
    return {
        "index": index.tolist(),
        "value": numbers(np.maximum(values[index], lowest / 2)),
        "exact": numbers(values[index]),
        "y": {"min": lowest / 2, "max": float(values[0]) * 1.5},
        "note": f"{n_zero} of {layer.M} are zero: drawn at the foot." if n_zero else "",
    }


def _limits(layer: LayerResult) -> list[tuple[str, float, str]]:
    """Returns names, heights and styles of the lines beside the singular values."""
    tolerance = layer.tolerance
    limits = [
        ("tolerance numpy", tolerance.numpy, "red dash"),
        ("numerical recipes", tolerance.numerical_recipes, "purple dot"),
        ("loose", tolerance.loose, "orange dashdot"),
        ("rounding", tolerance.rounding, "grey dash"),
    ]
    if layer.evidence is not None and layer.evidence.limit is not None:
        limits.append(("limit of lost directions", layer.evidence.limit, "ink"))
    if layer.tikhonov is not None:
        limits.append(("√gamma", float(np.sqrt(layer.tikhonov.gamma)), "green"))
    return [(name, float(at), style) for name, at, style in limits if 0 < at < np.inf]
