"""Plots the singular values of a layer against their index, with the limits for its rank."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from allennlp_analyze.reports.figures.density import bulk_of, shown_indices, why_no_values
from allennlp_analyze.reports.figures.style import (
    BLACK,
    BLUE,
    GAMMA,
    GREEN,
    GREY,
    LAMBDA_MINUS,
    LAMBDA_PLUS,
    ROOT,
    SIGMA_I,
    TINY_SIZE,
    TOLERANCE_STYLES,
    VERMILLION,
    empty,
    index_ticks,
    line,
    log_ticks,
    note,
)
from allennlp_analyze.results.layer import TOLERANCES, LayerResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More dots than these would overlap in the width of the axes.
MAX_POINTS = 400
# A value below this fraction of every tolerance is indistinguishable from zero.
FOOT_SHARE = 1e-3
# A limit this many times beyond everything else would flatten the values, so it is only named.
FAR = 100.0
# The position of the labels in widths of the axes, and their spacing in heights of a letter.
LEADER_FROM, LEADER_TO, LABELS_AT = 1.005, 1.05, 1.06
LABEL_SPACING = 1.4
# The limit of lost directions, and the area behind them.
LOST, LOST_DASHES, LOST_SHADE = "lost", (0, (1, 1)), 0.1


@dataclass(frozen=True)
class Limit:
    """A line at `value`, in units of singular values; `n_below` of them are at or below it."""

    name: str
    value: float
    colour: str
    dashes: Any
    n_below: Optional[int] = None

    @property
    def label(self) -> str:
        count = "" if not self.n_below else f" ({self.n_below} below)"
        return f"{self.name}: {self.value:.2g}{count}"


def plot_singular_values(ax: "Axes", layer: LayerResult) -> "Axes":
    """The M singular values, descending, against their index, on a logarithmic axis.

    Lines mark the limit of lost directions, the tolerances of the hard rank, the root of Tikhonov's
    gamma, and the roots of the Marchenko-Pastur edges, with names to the right of the axes. The
    area of the lost directions is shaded. Zeros, and values far below every
    tolerance, are drawn on the axis and counted above it.
    """
    values = layer.singular_values
    nothing = why_no_values(layer)
    if nothing:
        return empty(ax, nothing)
    foot = FOOT_SHARE * min(_relative_tolerances(layer))
    low, high = _view(layer, foot)
    if ax.get_yscale() != "log":
        ax.set_yscale("log")
    pad = max(0.5, 0.015 * layer.M)
    ax.set_xlim(1 - pad, layer.M + pad)
    ax.set_ylim(low, high)
    if layer.evidence is not None and layer.lost_directions:
        first = layer.M - layer.lost_directions + 0.5
        ax.axvspan(first, layer.M + pad, color=VERMILLION, alpha=LOST_SHADE, lw=0)
    _draw_limits(ax, limits(layer))
    _draw_values(ax, values, foot)
    index_ticks(ax.xaxis, layer.M)
    log_ticks(ax.yaxis, low, high)
    ax.set_xlabel("index i, from the largest")
    ax.set_ylabel(f"singular value {SIGMA_I} of W")
    return ax


def limits(layer: LayerResult) -> list[Limit]:
    """Returns the limits of the layer in ascending order; limits at the same place are merged."""
    merged: dict[float, Limit] = {}
    for limit in _every_limit(layer):
        first = merged.get(limit.value)
        if first is not None:
            limit = replace(first, name=f"{first.name}, {limit.name}")
        merged[limit.value] = limit
    return [merged[value] for value in sorted(merged)]


def _every_limit(layer: LayerResult) -> Iterator[Limit]:
    for name in TOLERANCES:
        n_below = layer.M - getattr(layer.hard_rank, name)
        yield Limit(name, getattr(layer.tolerance, name), *TOLERANCE_STYLES[name], n_below)
    evidence = layer.evidence
    if evidence is not None and evidence.limit is not None:
        yield Limit(LOST, evidence.limit, BLACK, LOST_DASHES, evidence.lost_directions)
    split, bulk = layer.tikhonov, bulk_of(layer)
    if split is not None:
        yield Limit(ROOT + GAMMA, math.sqrt(split.gamma), BLACK, "-", split.n_noise)
    if bulk is not None:
        for name, edge in ((LAMBDA_MINUS, bulk.lambda_minus), (LAMBDA_PLUS, bulk.lambda_plus)):
            if edge > 0:
                yield Limit(ROOT + name, math.sqrt(edge), GREEN, ":")


def _relative_tolerances(layer: LayerResult) -> tuple[float, float, float]:
    """Returns the tolerances that are proportional to the weights."""
    tolerance = layer.tolerance
    return tolerance.numpy, tolerance.numerical_recipes, tolerance.rounding


def _view(layer: LayerResult, foot: float) -> tuple[float, float]:
    """The range of the values and of the limits near them, with a margin."""
    values = layer.singular_values
    low = min(float(values[values > foot].min()), *_relative_tolerances(layer))
    high = max(layer.max_singular_value, *_relative_tolerances(layer))
    places = [x.value for x in limits(layer) if low / FAR < x.value < high * FAR]
    low, high = min(low, *places), max(high, *places)
    margin = (high / low) ** 0.06
    return low / margin, high * margin


def _draw_values(ax: "Axes", values: np.ndarray, foot: float) -> None:
    index = shown_indices(len(values), MAX_POINTS)
    drawn = values[index] > foot
    dots: dict[str, Any] = {"ls": "", "marker": "o", "ms": 3, "mew": 0, "color": BLUE}
    line(ax, index[drawn] + 1, values[index[drawn]], **dots)
    n_below = int(np.count_nonzero(values <= foot))
    if n_below:
        at_foot = np.full(np.count_nonzero(~drawn), ax.get_ylim()[0])
        crosses: dict[str, Any] = {"ls": "", "marker": "x", "ms": 4, "color": VERMILLION}
        line(ax, index[~drawn] + 1, at_foot, clip_on=False, **crosses)
        zero = "exactly zero" if values[-n_below] == 0 else f"below {foot:.2g}"
        note(ax, f"{n_below} of {len(values)} {zero}: crosses on the axis")


def _draw_limits(ax: "Axes", found: Sequence[Limit]) -> None:
    """Draw a line for each limit, and a thin one from its end to its label."""
    low, high = ax.get_ylim()
    labels, heights = [], []
    for limit in found:
        within = low < limit.value < high
        if within:
            style: dict[str, Any] = {"color": limit.colour, "ls": limit.dashes, "lw": 1.2}
            style.update(transform=ax.get_yaxis_transform(), label=limit.name)
            line(ax, (0, 1), (limit.value, limit.value), **style)
            heights.append(math.log(limit.value / low) / math.log(high / low))
        else:
            heights.append(0.0 if limit.value <= low else 1.0)
        arrow = "" if within else " ↓" if limit.value <= low else " ↑"
        labels.append(limit.label + arrow)
    spacing = LABEL_SPACING * TINY_SIZE / 72 * ax.figure.dpi / ax.bbox.height
    places = spread(np.array(heights), spacing)
    across = [x for _ in found for x in (LEADER_FROM, LEADER_TO, np.nan)]
    down = [y for ends in zip(heights, places) for y in (*ends, np.nan)]
    line(ax, across, down, transform=ax.transAxes, color=GREY, lw=0.6, clip_on=False)
    for text, y in zip(labels, places):
        ax.text(LABELS_AT, y, text, transform=ax.transAxes, fontsize=TINY_SIZE, va="center")


def spread(heights: np.ndarray, spacing: float) -> np.ndarray:
    """Returns positions (n,) near the ascending `heights` (n,) in 0..1, at least `spacing` apart.

    They minimize the squared shifts; neighbors that come too close share a shift (isotonic
    regression by pooling, Barlow et al. 1972).
    """
    steps = spacing * np.arange(len(heights))
    groups: list[tuple[float, int]] = []
    for height in heights - steps:
        total, count = float(height), 1
        while groups and groups[-1][0] / groups[-1][1] > total / count:
            before = groups.pop()
            total, count = total + before[0], count + before[1]
        groups.append((total, count))
    means = np.repeat([total / count for total, count in groups], [count for _, count in groups])
    highest = max(1.0 - steps[-1], 0.0) if len(steps) else 1.0
    return np.clip(means, 0.0, highest) + steps
