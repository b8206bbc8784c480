"""One model at a glance: smallest singular values, exponents, aspect ratios, rank loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Union

import numpy as np

from allennlp_analyze.reports.names import math_escaped, printable, shorten
from allennlp_analyze.reports.style import (
    BLACK,
    BLUE,
    GREY,
    KIND_MARKERS,
    ORANGE,
    VERDICT_COLOURS,
    VERMILLION,
    empty,
    legend_below,
    log_ticks,
)
from allennlp_analyze.results import MIN_Q, LayerResult, ModelReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM_RATIO = 50.0
ALPHA_VIEW = (8.0, 14.0)
MAX_BARS = 20
NAME_WIDTH = 44


def plot_min_singular_values(ax: "Axes", report: ModelReport) -> "Axes":
    """Histogram of each layer's smallest singular value, by verdict; layers with Q > 1.1 only.

    For a smaller Q theory lets that value be 0. Logarithmic where the values span more than 50
    times; exact zeros, which have no place there, are counted in the title.
    """
    ax.set_title(f"Smallest singular value of each layer (Q > {MIN_Q})", loc="left")
    layers = [layer for layer in report.layers if layer.Q > MIN_Q]
    positive = [layer.min_singular_value for layer in layers if layer.min_singular_value > 0]
    n_zero = len(layers) - len(positive)
    if not positive:
        return empty(
            ax, f"{_layers(n_zero)} with exactly 0" if n_zero else f"no layer with Q > {MIN_Q}"
        )
    logarithmic = max(positive) > LOG_FROM_RATIO * min(positive)
    edges = _edges(positive, logarithmic)
    if logarithmic:
        ax.set_xscale("log")
        log_ticks(ax.xaxis, edges[0], edges[-1])
    groups = {
        verdict: [
            x.min_singular_value
            for x in layers
            if x.verdict == verdict and x.min_singular_value > 0
        ]
        for verdict in VERDICT_COLOURS
    }
    _stack(ax, edges, groups)
    ax.set_xlabel(r"smallest singular value $\sigma_{min}$")
    _count_axis(ax)
    if n_zero:
        ax.set_title(f"{_layers(n_zero)} with exactly 0: not drawn", loc="right", fontsize=8)
    legend_below(ax, columns=4)
    return ax


def plot_alpha(ax: "Axes", report: ModelReport) -> "Axes":
    """Histogram of the power law exponents, with lines at 2 and 6.

    Between those, Martin and Mahoney (2018) find well-trained layers.
    """
    ax.set_title(r"Power law exponent $\alpha$ of each layer", loc="left")
    alphas = np.array([layer.power_law.alpha for layer in report.layers if layer.power_law])
    if not len(alphas):
        return empty(ax, "no layer has a power law")
    least, most = ALPHA_VIEW
    end = float(min(most, max(least, np.ceil(alphas.max()))))
    n_bins = int(min(48, max(16, 2 * np.sqrt(len(alphas)))))
    # Edges on the reference lines, so that no bar straddles them.
    edges = np.arange(0, end + 1e-9, 0.5 if n_bins <= 28 else 0.25)
    counts = np.histogram(alphas, edges)[0]
    _bars(ax, edges, counts, BLUE, f"{_layers(len(alphas))} with a power law")
    _reference_lines(ax.axvline)
    ax.set_xlim(0, end)
    ax.set_xlabel(r"$\alpha$")
    _count_axis(ax)
    n_beyond = int((alphas > end).sum())
    if n_beyond:
        ax.set_title(
            f"{_layers(n_beyond)} beyond, up to {alphas.max():.3g}", loc="right", fontsize=8
        )
    legend_below(ax, columns=3)
    return ax


def plot_q_alpha(ax: "Axes", report: ModelReport) -> "Axes":
    """Aspect ratio Q of each layer against its exponent alpha, by kind."""
    ax.set_title(r"Aspect ratio $Q$ against $\alpha$", loc="left")
    fitted = [(layer, layer.power_law.alpha) for layer in report.layers if layer.power_law]
    if not fitted:
        return empty(ax, "no layer has a power law")
    for kind, (marker, colour) in KIND_MARKERS.items():
        points = np.array([(layer.Q, alpha) for layer, alpha in fitted if layer.kind == kind])
        if len(points):
            ax.scatter(
                points[:, 0],
                points[:, 1],
                s=40,
                marker=marker,
                color=colour,
                alpha=0.75,
                linewidths=0,
                label=f"{kind} ({len(points)})",
            )
    _reference_lines(ax.axhline)
    ratios = [layer.Q for layer, _ in fitted]
    if max(ratios) > 10 * min(ratios):
        ax.set_xscale("log")
        log_ticks(ax.xaxis, min(ratios), max(ratios))
    elif max(ratios) < 1.2:
        ax.set_xlim(0.95, 1.5)
    alphas = [alpha for _, alpha in fitted]
    if max(alphas) > ALPHA_VIEW[1]:
        ax.set_yscale("log")
        log_ticks(ax.yaxis, min(alphas), max(alphas))
    ax.set_xlabel(r"$Q = N/M$")
    ax.set_ylabel(r"$\alpha$")
    legend_below(ax, columns=4)
    return ax


def plot_rank_loss(ax: "Axes", report: ModelReport) -> "Axes":
    """The layers that lose most of their rank, in percent of M, under two tolerances."""
    ax.set_title("Rank loss", loc="left")
    losing = [layer for layer in report.layers if _loss(layer) > 0]
    n_none = len(report.layers) - len(losing)
    if not losing:
        return empty(ax, f"none of {_layers(n_none)} loses rank")
    losing = sorted(losing, key=_loss, reverse=True)
    shown = losing[:MAX_BARS]
    rows = np.arange(len(shown))
    for offset, tolerance, colour in ((-0.2, "numpy", BLUE), (0.2, "rounding", ORANGE)):
        losses = [layer.rank_loss_percent[tolerance] for layer in shown]
        bars = ax.barh(
            rows + offset, losses, height=0.38, color=colour, label=f"tolerance `{tolerance}`"
        )
        ax.bar_label(bars, [f"{loss:.3g}" for loss in losses], padding=2, fontsize=7, color=BLACK)
    ax.set_yticks(rows, [_label(layer) for layer in shown], fontsize=7)
    ax.set_ylim(max(len(shown), 6) - 0.4, -0.6)
    ax.set_xlim(0, 108)
    ax.set_xlabel("directions lost, % of $M$")
    others = f"; {len(losing) - MAX_BARS} more lose less" if len(losing) > MAX_BARS else ""
    lose = "loses" if n_none == 1 else "lose"
    ax.set_title(f"{_layers(n_none)} {lose} none{others}", loc="right", fontsize=8)
    legend_below(ax)
    return ax


def _loss(layer: LayerResult) -> float:
    return max(layer.rank_loss_percent["numpy"], layer.rank_loss_percent["rounding"])


def _label(layer: LayerResult) -> str:
    return math_escaped(shorten(printable(layer.name), NAME_WIDTH))


def _layers(count: int) -> str:
    return f"{count} layer" if count == 1 else f"{count} layers"


def _edges(values: Sequence[float], logarithmic: bool) -> np.ndarray:
    n_bins = int(min(40, max(12, 2 * np.sqrt(len(values)))))
    low, high = min(values), max(values)
    if logarithmic:
        return np.geomspace(low * (1 - 1e-9), high * (1 + 1e-9), n_bins + 1)
    return np.linspace(0, high * (1 + 1e-9), n_bins + 1)


def _stack(ax: "Axes", edges: np.ndarray, groups: dict[str, list[float]]) -> None:
    base = np.zeros(len(edges) - 1)
    for verdict, values in groups.items():
        if values:
            counts = np.histogram(values, edges)[0]
            _bars(ax, edges, counts, VERDICT_COLOURS[verdict], f"{verdict} ({len(values)})", base)
            base = base + counts


def _bars(
    ax: "Axes",
    edges: np.ndarray,
    counts: np.ndarray,
    colour: str,
    label: str,
    bottom: Union[float, np.ndarray] = 0.0,
) -> None:
    ax.bar(
        edges[:-1],
        counts,
        np.diff(edges),
        bottom,
        align="edge",
        color=colour,
        edgecolor="white",
        linewidth=0.6,
        label=label,
    )


def _reference_lines(line: Callable[..., Any]) -> None:
    """Lines at alpha = 2 and 6; `line` is ax.axvline or ax.axhline."""
    for value, colour, style in ((2, VERMILLION, "--"), (6, GREY, ":")):
        line(value, color=colour, lw=1.2, ls=style, label=rf"$\alpha$ = {value}")


def _count_axis(ax: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(bottom=0)
    ax.margins(y=0.1)
    ax.set_ylabel("layers")
