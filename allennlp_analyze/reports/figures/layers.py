"""Histograms and scatter plots of layers, shared by the figures of one model and of a zoo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Union

import numpy as np

from allennlp_analyze.reports.figures.style import (
    ALPHA,
    GREEN,
    GREY,
    NO_UNIT,
    PURPLE,
    SIGMA_MIN,
    TINY_SIZE,
    VERMILLION,
    WHITE,
    count_ticks,
    empty,
    linear_ticks,
    log_ticks,
    note,
)
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.names import math_escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM_RATIO = 50.0
# The end of the axis of alpha: at least, normally, and if most layers are beyond that.
ALPHA_VIEW = (8.0, 14.0, 100.0)
MAX_ALPHA_BINS, MANY_LAYERS = 56, 200
# Range of smallest singular values for which float64 can represent the ticks of the axis.
DRAWABLE = (1e-150, 1e150)
ALPHA_LABEL = f"power-law exponent {ALPHA} {NO_UNIT}"
Q_LABEL = f"aspect ratio Q = N/M {NO_UNIT}"
SIGMA_MIN_LABEL = f"smallest singular value {SIGMA_MIN} {NO_UNIT}"
# Lines across the axis of alpha. Well-trained layers are between 2 and 6 (Martin and Mahoney 2018),
# most of those of the 2018 study up to 4.
ALPHA_LINES: dict[int, tuple[str, Any]] = {
    2: (VERMILLION, "--"),
    4: (GREEN, (0, (6, 2, 1, 2))),
    6: (GREY, ":"),
}


@dataclass(frozen=True)
class Look:
    """The look of a group of layers: bars in `colour` with `hatch`, or marks."""

    label: str
    colour: str
    marker: str = "o"
    hatch: str = ""


def label_of(look: Look, number: int) -> str:
    """Returns the legend's label for this many layers or models.

    matplotlib skips labels that start with an underscore, and a dollar sign would start a formula.
    """
    text = math_escaped(f"{look.label} ({number})")
    return f" {text}" if text.startswith("_") else text


# Layers with the same look, as numbers (n,) or points (n, 2).
Drawn = tuple[Look, np.ndarray]


def draw_min_singular_values(ax: "Axes", groups: Sequence[Drawn], nothing: str) -> "Axes":
    """Histogram of smallest singular values with stacked groups.

    The axis is logarithmic if the values span more than a factor of 50; exact zeros, which have no
    place there, are counted in the title. `nothing` is the text if there are no layers.
    """
    values = _together(groups)
    drawn = values[_is_drawable(values)]
    left_out = _left_out(values, len(drawn))
    if not len(drawn):
        return empty(ax, left_out or nothing)
    logarithmic = bool(drawn.max() > LOG_FROM_RATIO * drawn.min())
    edges = _edges(drawn, logarithmic)
    if logarithmic:
        ax.set_xscale("log")
        log_ticks(ax.xaxis, edges[0], edges[-1])
    else:
        linear_ticks(ax.xaxis, edges[-1])
    highest = stack(ax, edges, [(look, of[_is_drawable(of)]) for look, of in groups])
    ax.set_xlabel(SIGMA_MIN_LABEL)
    count_axis(ax, highest)
    if left_out:
        note(ax, f"{left_out}: not drawn")
    return ax


def _together(groups: Sequence[Drawn]) -> np.ndarray:
    return np.concatenate([np.empty(0), *(of for _, of in groups)])


def _is_drawable(values: np.ndarray) -> np.ndarray:
    return (values > DRAWABLE[0]) & (values < DRAWABLE[1])


def _left_out(values: np.ndarray, n_drawn: int) -> str:
    """Counts the smallest singular values that are 0 or outside `DRAWABLE`."""
    n_zero = int(np.count_nonzero(values == 0))
    n_beyond = len(values) - n_drawn - n_zero
    zeros = [f"{count(n_zero, 'layer')} with exactly 0"] if n_zero else []
    others = f"{n_beyond if zeros else count(n_beyond, 'layer')} out of range"
    return ", ".join([*zeros, others] if n_beyond else zeros)


def _edges(values: np.ndarray, logarithmic: bool) -> np.ndarray:
    n_bins = int(min(40, max(12, 2 * np.sqrt(len(values)))))
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        return np.geomspace(low * (1 - 1e-9), high * (1 + 1e-9), n_bins + 1)
    return np.linspace(0, high * (1 + 1e-9), n_bins + 1)


def stack(ax: "Axes", edges: np.ndarray, groups: Sequence[Drawn]) -> int:
    """Draw stacked bars, one look for each group; returns the height of the highest."""
    base = np.zeros(len(edges) - 1)
    for look, values in groups:
        if len(values):
            counts = np.histogram(values, edges)[0]
            bars(ax, edges, counts, look, label_of(look, len(values)), base)
            base = base + counts
    return int(base.max())


def bars(
    ax: "Axes",
    edges: np.ndarray,
    counts: np.ndarray,
    look: Look,
    label: str,
    bottom: Union[float, np.ndarray] = 0.0,
) -> None:
    """Draw a bar for each of `counts`, starting at `bottom`."""
    ax.bar(
        edges[:-1],
        counts,
        np.diff(edges),
        bottom,
        align="edge",
        color=look.colour,
        hatch=look.hatch,
        edgecolor=WHITE,
        linewidth=0.6,
        label=label,
    )


def count_axis(ax: "Axes", highest: int) -> None:
    """Set the axis from 0 to above the `highest` bar, or above 1 if no layer is in view."""
    ax.set_ylim(0, 1.08 * max(highest, 1))
    count_ticks(ax.yaxis)
    ax.set_ylabel("number of layers")


def alpha_edges(alphas: np.ndarray) -> np.ndarray:
    """Bins from 0 on for all `alphas` (n,) except a few large ones.

    The lines at 2, 4 and 6 are edges, so that no bar crosses them.
    """
    least, usual, most = ALPHA_VIEW
    nine_tenths = float(np.sort(alphas)[int(0.9 * (len(alphas) - 1))])
    end = min(max(least, float(alphas.max())), min(max(usual, nine_tenths), most))
    finest = 0.25 if len(alphas) > MANY_LAYERS else 0.5
    wide_enough = (w for w in (0.25, 0.5, 1.0) if w >= finest and end <= MAX_ALPHA_BINS * w)
    width = next(wide_enough, 2.0)
    return np.arange(np.ceil(end / width) + 1) * width


def alpha_axis(ax: "Axes", edges: np.ndarray, highest: int, lines: Sequence[int]) -> None:
    """Draw the axes and lines of a histogram of alpha."""
    alpha_lines(ax.axvline, lines)
    ax.set_xlim(0, edges[-1])
    ax.set_xlabel(ALPHA_LABEL)
    count_axis(ax, highest)


def beyond(alphas: np.ndarray, edges: np.ndarray) -> str:
    """Returns a note with the number of `alphas` beyond the histogram, or ""."""
    n_beyond = int((alphas > edges[-1]).sum())
    return f"{count(n_beyond, 'layer')} beyond, up to {alphas.max():.3g} →" if n_beyond else ""


def alpha_lines(draw: Callable[..., Any], places: Sequence[int]) -> None:
    """Draw those of `ALPHA_LINES` at `places`; `draw` is ax.axvline or ax.axhline."""
    for place in places:
        colour, style = ALPHA_LINES[place]
        draw(place, color=colour, lw=1.2, ls=style, label=f"{ALPHA} = {place}")


def draw_q_alpha(ax: "Axes", groups: Sequence[Drawn], lines: Sequence[int], **marks: Any) -> None:
    """Draw a point (Q, alpha) for each layer with a fit (at least one), and the lines.

    Smaller groups are drawn above larger ones. `marks` are further arguments of `Axes.scatter`.
    """
    for look, points in groups:
        if len(points):
            label = label_of(look, len(points))
            style = {"marker": look.marker, "color": look.colour, "linewidths": 0, **marks}
            above = 1 + 1 / (1 + len(points))  # below the lines, which have zorder 2
            ax.scatter(points[:, 0], points[:, 1], label=label, zorder=above, **style)
    everything = np.concatenate([of for _, of in groups])
    alpha_lines(ax.axhline, lines)
    ax.axvline(MIN_Q, color=PURPLE, lw=1.2, ls="-.", label=f"Q = {MIN_Q}")
    view_q(ax, float(everything[:, 0].max()))
    view_alpha(ax, everything[:, 1])
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel(ALPHA_LABEL)


def view_q(ax: "Axes", highest: float) -> None:
    """Set the axis from Q = 1, with the line at MIN_Q visible and apart from the axis."""
    if highest > 10:
        ax.set_xscale("log")
        ax.set_xlim(0.9, 1.15 * highest)
        log_ticks(ax.xaxis, 1, highest)
        return
    margin = 0.05 * (max(highest, 1.5) - 1)
    ax.set_xlim(1 - margin, max(highest, 1.5) + margin)
    linear_ticks(ax.xaxis, highest)


def view_alpha(ax: "Axes", alphas: np.ndarray) -> None:
    """Set the axis to the range of `alphas` and of the lines at 2 and 6."""
    least, most = float(alphas.min()), float(alphas.max())
    if most > ALPHA_VIEW[1]:
        low, high = min(least, 2) / 1.2, 1.2 * most
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        log_ticks(ax.yaxis, low, high)
        return
    high = 1.05 * max(most, 6)
    ax.set_ylim(0, high)
    linear_ticks(ax.yaxis, high)


def loss_axes(ax: "Axes", names: Sequence[str], label: str) -> None:
    """Set up a row for each of `names`, from the top, with the loss in percent across."""
    ax.set_yticks(range(len(names)), names, fontsize=TINY_SIZE)
    ax.set_ylim(max(len(names), 6) - 0.4, -0.6)
    ax.set_xlabel(label)


def loss_label(ax: "Axes", row: int, loss: float, text: str) -> None:
    """Write `text` next to the end of the bar of a row."""
    style: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points"}
    ax.annotate(text, (loss, row), fontsize=TINY_SIZE, va="center_baseline", **style)


def no_bar(noun: str, n_none: int, n_less: int) -> str:
    """Returns a note on what a figure of losses omits: those without loss, and those with less."""
    none = f"{count(n_none, noun)} {'loses' if n_none == 1 else 'lose'} none"
    return "; ".join([none] * (n_none > 0) + [f"{n_less} more lose less"] * (n_less > 0))
