"""Prepares the figures over all models as numbers for chart.js: histograms and sampled points.

A figure stays small for any number of layers; its counts include all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from allennlp_analyze.reports.terms import text
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.text.counts import counted
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten
from allennlp_analyze.zoo.reports.arrays import LinearLayers
from allennlp_analyze.zoo.results import ZooReport

# A colour for each of the first groups, and one for all others.
STYLES = ("blue", "orange", "green", "red", "purple", "ink", "sky")
OTHERS, OTHERS_STYLE = "other groups", "grey"
NO_GROUP = "(no group)"
GROUP_WIDTH = 30
# The most points of a scatter plot, and the number below which they are drawn larger.
POINTS, FEW_POINTS = 4000, 500
ZOOM = 0.01
ZOOM_BINS, LOSS_BINS = 40, 20
LOG_FROM_RATIO = 50.0
# Range of smallest singular values for which float64 can represent the ends of the axis.
DRAWABLE = (1e-150, 1e150)
# The smallest and largest end of the axis of alpha, and the number of layers for finer bins.
ALPHA_VIEW, MANY_LAYERS = (8.0, 14.0), 200
LINES = ((2.0, "red dash"), (4.0, "green dashdot"), (6.0, "grey dot"))
SIGMA_MIN = "smallest singular value σ_min"
RATIO = "Q = N / M"
COUNTED = "layers"


@dataclass(frozen=True)
class Series:
    """Groups that share a colour: a single group, or all others."""

    label: str
    style: str
    groups: tuple[int, ...]


def zoo_charts(report: ZooReport, layers: LinearLayers) -> "list[dict[str, Any]]":
    """Returns each figure as data for `chart`, or as its title and why there is nothing to draw.

    Figures that cannot be drawn come last, where they take little space. In the functions below,
    `of` (n,) is the index of the series of each value.
    """
    series = series_of(report, layers)
    colour = np.zeros(len(report.groups), dtype=np.int8)
    for index, one in enumerate(series):
        colour[list(one.groups)] = index
    of = colour[layers.group]
    is_clear = layers.Q > MIN_Q
    clear, clear_of = layers.sigma_min[is_clear], of[is_clear]
    fitted = layers.is_fitted
    charts = [
        _smallest("Smallest singular value of each linear layer", layers.sigma_min, of, series),
        _smallest(f"Smallest singular value, Q > {MIN_Q}", clear, clear_of, series),
        _zoomed(f"Smallest singular value below {ZOOM:g}, Q > {MIN_Q}", clear, clear_of, series),
        _alpha(layers.alpha[fitted], of[fitted], series),
        _ratio(report, layers, of, series),
        _loss(layers.loss, of, series),
    ]
    return sorted(charts, key=lambda chart: "nothing" in chart)


def series_of(report: ZooReport, layers: LinearLayers) -> tuple[Series, ...]:
    """Give the groups with most linear layers their own colours, in order, and the rest one."""
    groups = report.groups
    sizes = np.bincount(layers.group, minlength=len(groups))
    largest = np.argsort(-sizes, kind="stable")[: len(STYLES)].tolist()
    own = [Series(group_label(groups[i]), style, (i,)) for i, style in zip(sorted(largest), STYLES)]
    rest = tuple(i for i in range(len(groups)) if i not in largest)
    return (*own, Series(OTHERS, OTHERS_STYLE, rest)) if rest else tuple(own)


def group_label(group: str) -> str:
    """Returns the name of a group, shortened for legends and tables."""
    return shorten(printable(group), GROUP_WIDTH) or NO_GROUP


def _nothing(title: str, why: str) -> "dict[str, Any]":
    return {"title": title, "nothing": why}


def _smallest(
    title: str, sigma: np.ndarray, of: np.ndarray, series: Sequence[Series]
) -> "dict[str, Any]":
    """A histogram; logarithmic, without exact zeros, if it spans more than a factor of 50."""
    drawn = (sigma > DRAWABLE[0]) & (sigma < DRAWABLE[1])
    values = sigma[drawn]
    note = _left_out(int((sigma == 0).sum()), len(sigma) - len(values))
    if not len(values):
        return _nothing(title, note or "No layers.")
    low, high = float(values.min()), float(values.max())
    bins = int(min(40, max(12, 2 * np.sqrt(len(values)))))
    log = high > LOG_FROM_RATIO * low
    if log:
        edges = np.geomspace(low / 1.2, high * 1.2, bins + 1)
    else:
        edges = np.linspace(0, 1.05 * high, bins + 1)
    return {
        "title": title,
        "alt": f"Histogram of {_range(values)}",
        "x": _axis(SIGMA_MIN, edges, log),
        **_stacked(values, of[drawn], edges, series),
        "note": note,
    }


def _left_out(zeros: int, number: int) -> str:
    """Returns a note on the `number` layers that are not drawn, of which `zeros` are exactly 0."""
    parts = [f"{counted(zeros, 'layer')} with exactly 0"] if zeros else []
    parts += [f"{counted(number - zeros, 'layer')} out of range"] if number > zeros else []
    return f"Not drawn: {', '.join(parts)}." if parts else ""


def _zoomed(
    title: str, sigma: np.ndarray, of: np.ndarray, series: Sequence[Series]
) -> "dict[str, Any]":
    """The left end of the axis, where collapsed layers are; exact zeros are in the first bin."""
    if not len(sigma):
        return _nothing(title, "No layers.")
    near = sigma < ZOOM
    values = sigma[near]
    if not len(values):
        least = text(float(sigma.min()), 3)
        return _nothing(title, f"None of {counted(len(sigma), 'layer')}; the smallest is {least}.")
    edges = np.linspace(0, ZOOM, ZOOM_BINS + 1)
    zeros = int((values == 0).sum())
    exactly = f", {zeros:,} of them exactly 0" if zeros else ""
    return {
        "title": title,
        "alt": f"Histogram of {_range(values)}",
        "x": _axis(SIGMA_MIN, edges),
        **_stacked(values, of[near], edges, series),
        "note": f"{len(values):,} of {counted(len(sigma), 'layer')}{exactly}.",
    }


def _alpha(alpha: np.ndarray, of: np.ndarray, series: Sequence[Series]) -> "dict[str, Any]":
    title = "Power-law exponent α of each linear layer"
    if not len(alpha):
        return _nothing(title, "No linear layer has a power law.")
    end = float(np.clip(np.ceil(alpha.max()), *ALPHA_VIEW))
    # The lines are edges, so that no bar crosses one.
    width = 0.25 if len(alpha) > MANY_LAYERS else 0.5
    edges = np.arange(round(end / width) + 1) * width
    within = alpha <= end
    beyond = len(alpha) - int(within.sum())
    figure = {
        "title": title,
        "alt": f"Histogram of {_range(alpha)}",
        "x": _axis("α", edges),
        **_stacked(alpha[within], of[within], edges, series),
        "note": f"{counted(beyond, 'layer')} beyond, up to {text(float(alpha.max()), 3)}."
        if beyond
        else "",
    }
    figure["marks"] += [_line("vline", at, "α", style) for at, style in LINES]
    return figure


def _ratio(
    report: ZooReport, layers: LinearLayers, of: np.ndarray, series: Sequence[Series]
) -> "dict[str, Any]":
    title = "Aspect ratio Q against α"
    fitted = np.flatnonzero(layers.is_fitted)
    if not len(fitted):
        return _nothing(title, "No linear layer has a power law.")
    ratios, alphas = layers.Q[fitted], layers.alpha[fitted]
    places = fitted
    if len(fitted) > POINTS:
        # Random, not every k-th: layers repeat within models. The seed keeps the page reproducible.
        places = np.sort(np.random.default_rng(0).choice(fitted, POINTS, replace=False))
    marks = _points(report, layers.where(places), of[places], series)
    marks += [_line("hline", at, "α", style) for at, style in LINES]
    return {
        "title": title,
        "alt": f"Scatter plot of {_range(alphas)} Q reaches {text(float(ratios.max()), 3)}.",
        "x": _ratio_axis(float(ratios.max())),
        "y": _alpha_axis(float(alphas.min()), float(alphas.max())),
        "marks": [*marks, _line("vline", MIN_Q, "Q", "purple dashdot")],
        "note": f"A random sample of {POINTS:,} of {len(fitted):,} layers."
        if len(fitted) > POINTS
        else "",
    }


def _ratio_axis(highest: float) -> "dict[str, Any]":
    if highest > 10:
        return _limits(RATIO, 0.9, 1.3 * highest, log=True)
    return _limits(RATIO, 0.8, highest + 0.3)


def _alpha_axis(lowest: float, highest: float) -> "dict[str, Any]":
    if highest > ALPHA_VIEW[1]:
        return _limits("α", min(1.5, lowest) / 1.1, 1.3 * highest, log=True)
    return _limits("α", 0.0, max(7.0, 1.1 * highest))


def _points(
    report: ZooReport, layers: LinearLayers, of: np.ndarray, series: Sequence[Series]
) -> "list[dict[str, Any]]":
    """Returns the points of each of `series`, with names and links to reports."""
    marks = []
    for index, one in enumerate(series):
        found = layers.where(np.flatnonzero(of == index))
        if not len(found):
            continue
        marks.append(
            {
                "type": "points",
                "style": one.style,
                "size": 4 if len(layers) < FEW_POINTS else 2.5,
                "label": f"{one.label} ({len(found):,})",
                "x": _rounded(found.Q),
                "y": _rounded(found.alpha),
                "names": _point_names(report, found),
                "models": found.model.tolist(),
                "layers": found.layer.tolist(),
            }
        )
    return marks


def _point_names(report: ZooReport, layers: LinearLayers) -> "list[str]":
    names = []
    for index, place, ratio, alpha in zip(layers.model, layers.layer, layers.Q, layers.alpha):
        model = report.models[index]
        label = f"{_short(model.name)}: {_short(model.outcome.layers[place].name)}"
        names.append(f"{label}: Q = {text(float(ratio), 3)}, α = {text(float(alpha), 3)}")
    return names


def _loss(loss: np.ndarray, of: np.ndarray, series: Sequence[Series]) -> "dict[str, Any]":
    title = "Rank loss: share of the directions lost"
    if not len(loss):
        return _nothing(title, "No model has a linear layer.")
    losing = loss > 0
    values = loss[losing]
    without = len(loss) - len(values)
    if not len(values):
        return _nothing(title, f"None of {counted(without, 'layer')} loses rank.")
    edges = np.linspace(0, 100, LOSS_BINS + 1)
    return {
        "title": title,
        "alt": f"Histogram of {_range(values)}",
        "x": _axis("directions lost, in percent of M", edges),
        **_stacked(values, of[losing], edges, series),
        "note": f"{counted(without, 'layer')} without loss: not drawn." if without else "",
    }


def _stacked(
    values: np.ndarray, of: np.ndarray, edges: np.ndarray, series: Sequence[Series]
) -> "dict[str, Any]":
    """Returns stacked bars, one kind for each of `series`, and their axis of counts."""
    # The ends of the axis are those of the data, so that rounding puts no value outside.
    values = np.clip(values, edges[0], edges[-1])
    base = np.zeros(len(edges) - 1, dtype=int)
    marks = []
    for index, one in enumerate(series):
        counts = np.histogram(values[of == index], edges)[0]
        if not counts.any():
            continue
        marks.append(
            {
                "type": "bars",
                "style": one.style,
                "label": f"{one.label} ({counts.sum():,})",
                "edges": _rounded(edges),
                "values": counts.tolist(),
                "base": base.tolist(),
            }
        )
        base = base + counts
    return {
        "y": {**_limits(COUNTED, 0.0, 1.1 * max(1, int(base.max()))), "whole": True},
        "marks": marks,
    }


def _line(kind: str, at: float, symbol: str, style: str) -> "dict[str, Any]":
    return {"type": kind, "at": at, "style": style, "label": f"{symbol} = {at:g}"}


def _axis(label: str, edges: np.ndarray, log: bool = False) -> "dict[str, Any]":
    low, *_, high = _rounded(edges)
    return _limits(label, low, high, log)


def _limits(label: str, low: float, high: float, log: bool = False) -> "dict[str, Any]":
    return {"label": label, "min": low, "max": high, "log": log}


def _rounded(values: np.ndarray) -> "list[float]":
    """Round to screen precision, which halves the length."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def _range(values: np.ndarray) -> str:
    ends = " to ".join(text(float(value), 3) for value in (values.min(), values.max()))
    return f"{counted(len(values), 'layer')}, from {ends}."


def _short(name: str) -> str:
    return shorten(printable(name), NAME_WIDTH) or "(no name)"
