"""The figures over all models as plain numbers for chart.js: histograms in bins, a sample of points.

However many layers there are, a figure takes a few kilobytes; the counts are of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from allennlp_analyze.reports.names import NAME_WIDTH, printable, shorten
from allennlp_analyze.reports.terms import text
from allennlp_analyze.reports.words import counted
from allennlp_analyze.reports.zoo_arrays import LinearLayers
from allennlp_analyze.results import MIN_Q
from allennlp_analyze.zoo_results import ZooReport

# A colour for each of the first groups, and one for all the others.
STYLES = ("blue", "orange", "green", "red", "purple", "ink", "sky")
OTHERS, OTHERS_STYLE = "other groups", "grey"
NO_GROUP = "(no group)"
GROUP_WIDTH = 30
POINTS = 4000
ZOOM = 0.01
ZOOM_BINS, LOSS_BINS = 40, 20
LOG_FROM_RATIO = 50.0
# Smallest singular values beyond which float64 cannot hold the ends of their axis.
DRAWABLE = (1e-150, 1e150)
# Where the axis of alpha ends, at least and at most, and from how many layers on bins are finer.
ALPHA_VIEW, MANY_LAYERS = (8.0, 14.0), 200
LINES = ((2.0, "red dash"), (4.0, "green dashdot"), (6.0, "grey dot"))
SIGMA_MIN = "smallest singular value σ_min"
RATIO = "Q = N / M"
COUNTED = "layers"


@dataclass(frozen=True)
class Series:
    """Groups that share a colour: one of their own, or all that have none."""

    label: str
    style: str
    groups: tuple[int, ...]


def zoo_charts(report: ZooReport, layers: LinearLayers) -> "list[dict[str, Any]]":
    """Each figure as what `chart` draws, or as its title and why there is nothing to draw.

    Below, `layers.group` is the index of the series that a layer's group belongs to.
    """
    series = series_of(report, layers)
    colour = np.zeros(len(report.groups), dtype=int)
    for index, one in enumerate(series):
        colour[list(one.groups)] = index
    layers = replace(layers, group=colour[layers.group])
    fitted = layers.fitted
    high_q = layers.where(layers.assessed)
    charts = [
        _smallest("Smallest singular value of each linear layer", layers, series),
        _smallest(f"Smallest singular value, Q > {MIN_Q}", high_q, series),
        _zoomed(f"Smallest singular value below {ZOOM:g}, Q > {MIN_Q}", high_q, series),
        _alpha(fitted, series),
        _ratio(report, fitted, series),
        _loss(layers, series),
    ]
    # What is not drawn takes a line: together they take no space beside a figure.
    return sorted(charts, key=lambda chart: "nothing" in chart)


def series_of(report: ZooReport, layers: LinearLayers) -> tuple[Series, ...]:
    """The groups with most linear layers have a colour each, in their order, the rest have one."""
    groups = report.groups
    sizes = np.bincount(layers.group, minlength=len(groups))
    largest = np.argsort(-sizes, kind="stable")[: len(STYLES)].tolist()
    own = [Series(group_label(groups[i]), style, (i,)) for i, style in zip(sorted(largest), STYLES)]
    rest = tuple(i for i in range(len(groups)) if i not in largest)
    return (*own, Series(OTHERS, OTHERS_STYLE, rest)) if rest else tuple(own)


def group_label(group: str) -> str:
    """The name of a group as legends and tables have room for it."""
    return shorten(printable(group), GROUP_WIDTH) or NO_GROUP


def _nothing(title: str, why: str) -> "dict[str, Any]":
    return {"title": title, "nothing": why}


def _smallest(title: str, layers: LinearLayers, series: Sequence[Series]) -> "dict[str, Any]":
    """A histogram; logarithmic where it spans more than 50 times, and then without exact zeros."""
    sigma = layers.sigma_min
    drawn = layers.where((sigma > DRAWABLE[0]) & (sigma < DRAWABLE[1]))
    zeros = int((sigma == 0).sum())
    note = _sentence(
        f"{counted(zeros, 'layer')} with exactly 0" if zeros else "",
        f"{len(layers) - len(drawn) - zeros} out of range"
        if len(layers) > len(drawn) + zeros
        else "",
    )
    if not len(drawn):
        return _nothing(title, f"{note} Nothing is left to draw." if note else "There is none.")
    values = drawn.sigma_min
    low, high = float(values.min()), float(values.max())
    bins = int(min(40, max(12, 2 * np.sqrt(len(values)))))
    log = high > LOG_FROM_RATIO * low
    edges = (
        np.geomspace(low / 1.2, high * 1.2, bins + 1)
        if log
        else np.linspace(0, 1.05 * high, bins + 1)
    )
    return {
        "title": title,
        "alt": f"Histogram of {_range(values, 'layer')}",
        "x": _axis(SIGMA_MIN, edges, log),
        **_stacked(drawn, values, edges, series),
        "note": f"Not drawn: {note}" if note else "",
    }


def _zoomed(title: str, layers: LinearLayers, series: Sequence[Series]) -> "dict[str, Any]":
    """The left end of the axis, where collapsed layers are: exact zeros are in the first bin."""
    if not len(layers):
        return _nothing(title, "There is none.")
    near = layers.where(layers.sigma_min < ZOOM)
    if not len(near):
        least = text(float(layers.sigma_min.min()), 3)
        return _nothing(title, f"None of {counted(len(layers), 'layer')}; the smallest is {least}.")
    edges = np.linspace(0, ZOOM, ZOOM_BINS + 1)
    zeros = int((near.sigma_min == 0).sum())
    exactly = f", {zeros} of them exactly 0" if zeros else ""
    return {
        "title": title,
        "alt": f"Histogram of {_range(near.sigma_min, 'layer')}",
        "x": _axis(SIGMA_MIN, edges),
        **_stacked(near, near.sigma_min, edges, series),
        "note": f"{len(near):,} of {counted(len(layers), 'layer')}{exactly}.",
    }


def _alpha(layers: LinearLayers, series: Sequence[Series]) -> "dict[str, Any]":
    title = "Power-law exponent α of each linear layer"
    if not len(layers):
        return _nothing(title, "No linear layer has a power law.")
    least, most = ALPHA_VIEW
    end = float(np.clip(np.ceil(layers.alpha.max()), least, most))
    # Edges on the lines, so that no bar straddles one.
    width = 0.25 if len(layers) > MANY_LAYERS else 0.5
    within = layers.where(layers.alpha <= end)
    figure = {
        "title": title,
        "alt": f"Histogram of {_range(layers.alpha, 'layer')}",
        "x": _axis("α", np.array([0, end])),
        **_stacked(within, within.alpha, np.arange(round(end / width) + 1) * width, series),
    }
    figure["marks"] += [_line("vline", at, "α", style) for at, style in LINES]
    beyond = len(layers) - len(within)
    largest = text(float(layers.alpha.max()), 3)
    figure["note"] = f"{counted(beyond, 'layer')} beyond, up to {largest}." if beyond else ""
    return figure


def _ratio(report: ZooReport, layers: LinearLayers, series: Sequence[Series]) -> "dict[str, Any]":
    title = "Aspect ratio Q against α"
    if not len(layers):
        return _nothing(title, "No linear layer has a power law.")
    shown = layers
    if len(layers) > POINTS:
        # Not every so many: layers repeat within models. The seed makes the same page every time.
        chosen = np.random.default_rng(0).choice(len(layers), POINTS, replace=False)
        shown = layers.where(np.sort(chosen))
    highest_q, highest = float(layers.Q.max()), float(layers.alpha.max())
    log_q, log_alpha = highest_q > 10, highest > ALPHA_VIEW[1]
    lowest = min(1.5, float(layers.alpha.min())) / 1.1
    marks = [_points(report, shown, index, one) for index, one in enumerate(series)]
    marks += [_line("hline", at, "α", style) for at, style in LINES]
    marks.append(_line("vline", MIN_Q, "Q", "purple dashdot"))
    return {
        "title": title,
        "alt": f"Scatter plot of {_range(layers.alpha, 'layer')} Q reaches {text(highest_q, 3)}.",
        "x": _limits(
            RATIO, 0.9 if log_q else 0.8, 1.3 * highest_q if log_q else highest_q + 0.3, log_q
        ),
        "y": _limits(
            "α",
            lowest if log_alpha else 0.0,
            1.3 * highest if log_alpha else max(7.0, 1.1 * highest),
            log_alpha,
        ),
        "marks": [mark for mark in marks if mark is not None],
        "note": f"A random sample of {POINTS:,} of {len(layers):,} layers."
        if len(layers) > POINTS
        else "",
    }


def _points(
    report: ZooReport, layers: LinearLayers, index: int, series: Series
) -> "Optional[dict[str, Any]]":
    of = layers.where(layers.group == index)
    if not len(of):
        return None
    names = []
    for model, layer, q, alpha in zip(of.model, of.layer, of.Q, of.alpha):
        found = report.models[model]
        label = f"{_short(found.name)}: {_short(found.outcome.layers[layer].name)}"
        names.append(f"{label}: Q = {text(float(q), 3)}, α = {text(float(alpha), 3)}")
    return {
        "type": "points",
        "style": series.style,
        "size": 4 if len(layers) < 500 else 2.5,
        "label": f"{series.label} ({len(of):,})",
        "x": _rounded(of.Q),
        "y": _rounded(of.alpha),
        "names": names,
        "models": of.model.tolist(),
        "layers": of.layer.tolist(),
    }


def _loss(layers: LinearLayers, series: Sequence[Series]) -> "dict[str, Any]":
    title = "Rank loss: share of the directions within rounding of zero"
    if not len(layers):
        return _nothing(title, "No model has a linear layer.")
    losing = layers.where(layers.loss > 0)
    without = len(layers) - len(losing)
    if not len(losing):
        return _nothing(title, f"None of {counted(without, 'layer')} loses rank.")
    edges = np.linspace(0, 100, LOSS_BINS + 1)
    return {
        "title": title,
        "alt": f"Histogram of {_range(losing.loss, 'layer')}",
        "x": _axis("directions lost, in percent of M", edges),
        **_stacked(losing, losing.loss, edges, series),
        "note": f"{counted(without, 'layer')} without loss: not drawn." if without else "",
    }


def _stacked(
    layers: LinearLayers, values: np.ndarray, edges: np.ndarray, series: Sequence[Series]
) -> "dict[str, Any]":
    """Bars upon bars, one kind for each of `series`; the axis of counts with them."""
    base = np.zeros(len(edges) - 1, dtype=int)
    marks = []
    for index, one in enumerate(series):
        of = layers.group == index
        number = int(of.sum())
        if not number:
            continue
        # The ends of the axis are the data's: rounding must not put one beyond.
        counts = np.histogram(np.clip(values[of], edges[0], edges[-1]), edges)[0]
        marks.append(
            {
                "type": "bars",
                "style": one.style,
                "label": f"{one.label} ({number:,})",
                "edges": _rounded(edges),
                "values": counts.tolist(),
                "base": base.tolist(),
            }
        )
        base = base + counts
    highest = max(1, int(base.max()))
    return {"y": {**_limits(COUNTED, 0.0, 1.1 * highest), "whole": True}, "marks": marks}


def _line(kind: str, at: float, symbol: str, style: str) -> "dict[str, Any]":
    return {"type": kind, "at": at, "style": style, "label": f"{symbol} = {at:g}"}


def _axis(label: str, edges: np.ndarray, log: bool = False) -> "dict[str, Any]":
    low, *_, high = _rounded(edges)
    return _limits(label, low, high, log)


def _limits(label: str, low: float, high: float, log: bool = False) -> "dict[str, Any]":
    return {"label": label, "min": low, "max": high, "log": log}


def _rounded(values: np.ndarray) -> "list[float]":
    """As exact as a screen shows it, and half as long."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def _range(values: np.ndarray, noun: str) -> str:
    ends = " to ".join(text(float(value), 3) for value in (values.min(), values.max()))
    return f"{counted(len(values), noun)}, from {ends}."


def _sentence(*parts: str) -> str:
    """The parts that are not empty, as one sentence."""
    found = ", ".join(part for part in parts if part)
    return f"{found}." if found else ""


def _short(name: str) -> str:
    return shorten(printable(name), NAME_WIDTH) or "(no name)"
