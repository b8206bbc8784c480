"""Plots one model: smallest singular values, exponents, aspect ratios and rank loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

import numpy as np

from allennlp_analyze.reports.figures.file import Caption
from allennlp_analyze.reports.figures.layers import (
    Look,
    alpha_axis,
    alpha_edges,
    bars,
    beyond,
    draw_min_singular_values,
    draw_q_alpha,
    loss_axes,
    loss_label,
    no_bar,
)
from allennlp_analyze.reports.figures.style import (
    BLUE,
    KIND_MARKERS,
    TOLERANCE_STYLES,
    VERDICT_COLOURS,
    empty,
    legend_below,
    note,
)
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.verdict import LAYER_VERDICTS, MIN_Q, Verdict
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.names import figure_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_BARS = 20
# The bars of lost rank: the label, and the tolerance whose colour they have.
LOSSES: "tuple[tuple[str, str, Callable[[LayerResult], float]], ...]" = (
    ("tolerance numpy", "numpy", lambda layer: layer.rank_loss_percent["numpy"]),
    ("rule of the verdict", "rounding", lambda layer: layer.lost_percent),
)
ALPHA_LINES_AT = (2, 6)


def plot_min_singular_values(ax: "Axes", report: ModelReport) -> "Axes":
    """Histogram of the smallest singular values of the layers with Q > MIN_Q, by verdict.

    For a smaller Q, theory lets that value be 0. The axis is logarithmic if the values span more
    than a factor of 50; exact zeros, which have no place there, are counted in the title.
    """
    layers = [layer for layer in report.layers if layer.Q > MIN_Q]
    groups = [
        (Look(verdict.value, VERDICT_COLOURS[verdict]), _min_singular_values(layers, verdict))
        for verdict in LAYER_VERDICTS
    ]
    draw_min_singular_values(ax, groups, f"no layer with Q > {MIN_Q}")
    legend_below(ax, columns=4)
    return ax


def _min_singular_values(layers: Sequence[LayerResult], verdict: Verdict) -> np.ndarray:
    values = [layer.min_singular_value for layer in layers if layer.verdict is verdict]
    return np.array(values, np.float64)


def plot_alpha(ax: "Axes", report: ModelReport) -> "Axes":
    """Histogram of the power-law exponents, with lines at 2 and 6.

    Martin and Mahoney (2018) find well-trained layers between these.
    """
    alphas = np.array([layer.power_law.alpha for layer in report.layers if layer.power_law])
    if not len(alphas):
        return empty(ax, "no layer has a power law")
    edges = alpha_edges(alphas)
    counts = np.histogram(alphas, edges)[0]
    label = f"{count(len(alphas), 'layer')} with a power law"
    bars(ax, edges, counts, Look("", BLUE), label)
    alpha_axis(ax, edges, int(counts.max()), ALPHA_LINES_AT)
    note(ax, beyond(alphas, edges))
    legend_below(ax, columns=3)
    return ax


def plot_q_alpha(ax: "Axes", report: ModelReport) -> "Axes":
    """Exponent alpha of each layer against its aspect ratio Q, by kind; lines at 2, 6 and MIN_Q.

    Up to that Q, theory lets the smallest singular value of a healthy matrix go to 0.
    """
    fitted = [(layer, layer.power_law.alpha) for layer in report.layers if layer.power_law]
    if not fitted:
        return empty(ax, "no layer has a power law")
    groups = []
    for kind, (marker, colour) in KIND_MARKERS.items():
        points = [(layer.Q, alpha) for layer, alpha in fitted if layer.kind == kind]
        groups.append((Look(kind, colour, marker), np.array(points).reshape(-1, 2)))
    draw_q_alpha(ax, groups, ALPHA_LINES_AT, s=40, alpha=0.75)
    legend_below(ax, columns=5)
    return ax


def plot_rank_loss(ax: "Axes", report: ModelReport) -> "Axes":
    """Bars of the layers that lose most rank, in percent of M.

    The loss is shown by numpy's tolerance and by the rule of the verdict.
    """
    losing = [layer for layer in report.layers if _loss(layer) > 0]
    n_none = len(report.layers) - len(losing)
    if not losing:
        return empty(ax, f"none of {count(n_none, 'layer')} loses rank")
    losing = sorted(losing, key=_loss, reverse=True)
    shown = losing[:MAX_BARS]
    rows = np.arange(len(shown))
    for offset, (label, style, percent) in zip((-0.2, 0.2), LOSSES):
        losses = [percent(layer) for layer in shown]
        colour, _ = TOLERANCE_STYLES[style]
        ax.barh(rows + offset, losses, height=0.38, color=colour, label=label)
    for row, layer in enumerate(shown):
        loss_label(ax, row, _loss(layer), _losses(layer))
    loss_axes(ax, [figure_name(layer.name) for layer in shown], "directions lost (% of M)")
    ax.set_xlim(0, 116)  # room for the numbers
    ax.set_xticks(range(0, 101, 20))
    note(ax, no_bar("layer", n_none, len(losing) - len(shown)))
    legend_below(ax)
    return ax


def _loss(layer: LayerResult) -> float:
    return max(percent(layer) for _, _, percent in LOSSES)


def _losses(layer: LayerResult) -> str:
    """The numbers of both bars, or one number if they are equal."""
    numbers = [f"{percent(layer):.3g}" for _, _, percent in LOSSES]
    return ", ".join(dict.fromkeys(numbers))


@dataclass(frozen=True)
class ModelPlot:
    """A figure of a model; `name` is its file name in plots/ and the argument of `Report.plot`."""

    name: str
    draw: "Callable[[Axes, ModelReport], Axes]"
    caption: Caption


# All figures in the order in which they are written. The captions are in ASCII, so that they are
# readable in a PDF, too.
MODEL_PLOTS = (
    ModelPlot(
        "min_singular_values",
        plot_min_singular_values,
        Caption(
            "Smallest singular value of each layer",
            "Histogram of the smallest singular value of each layer with Q above"
            f" {MIN_Q}, by verdict.",
        ),
    ),
    ModelPlot(
        "alpha",
        plot_alpha,
        Caption(
            "Power-law exponent alpha of each layer",
            "Histogram of the exponents of the layers' power laws, with lines at 2 and 6.",
        ),
    ),
    ModelPlot(
        "q_alpha",
        plot_q_alpha,
        Caption(
            "Power-law exponent alpha against aspect ratio Q",
            "A point for each layer with a power law, by kind, with lines at alpha = 2, alpha = 6"
            f" and Q = {MIN_Q}.",
        ),
    ),
    ModelPlot(
        "rank_loss",
        plot_rank_loss,
        Caption(
            "Rank loss",
            "Bars for the layers that lose most of their directions, by numpy's tolerance"
            " and by the rule of the verdict.",
        ),
    ),
)
