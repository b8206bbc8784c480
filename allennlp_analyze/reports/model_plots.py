"""One model at a glance: smallest singular values, exponents, aspect ratios, rank loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Union

import numpy as np

from allennlp_analyze.reports.names import figure_name
from allennlp_analyze.reports.style import (
    ALPHA,
    BLUE,
    GREY,
    KIND_MARKERS,
    NO_UNIT,
    PURPLE,
    SIGMA_MIN,
    TINY_SIZE,
    TOLERANCE_STYLES,
    VERDICT_COLOURS,
    VERMILLION,
    WHITE,
    count_ticks,
    empty,
    legend_below,
    linear_ticks,
    log_ticks,
    note,
)
from allennlp_analyze.reports.words import count
from allennlp_analyze.results import MIN_Q, LayerResult, ModelReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM_RATIO = 50.0
# Where the axis of alpha ends: at least, as a rule, and where most layers are beyond that.
ALPHA_VIEW = (8.0, 14.0, 100.0)
MAX_ALPHA_BINS, MANY_LAYERS = 56, 200
# Smallest singular values beyond which float64 cannot hold the ticks of their axis.
DRAWABLE = (1e-150, 1e150)
MAX_BARS = 20
SHOWN_TOLERANCES = ("numpy", "rounding")
ALPHA_LABEL = f"power-law exponent {ALPHA} {NO_UNIT}"
Q_LABEL = f"aspect ratio Q = N/M {NO_UNIT}"


def plot_min_singular_values(ax: "Axes", report: ModelReport) -> "Axes":
    """Histogram of each layer's smallest singular value, by verdict; layers with Q > 1.1 only.

    For a smaller Q theory lets that value be 0. Logarithmic where the values span more than 50
    times; exact zeros, which have no place there, are counted in the title.
    """
    ax.set_title(f"Smallest singular value of each layer (Q > {MIN_Q})", loc="left")
    layers = [layer for layer in report.layers if layer.Q > MIN_Q]
    drawn = [x for x in layers if DRAWABLE[0] < x.min_singular_value < DRAWABLE[1]]
    left_out = _left_out(layers, len(drawn))
    if not drawn:
        return empty(ax, left_out or f"no layer with Q > {MIN_Q}")
    values = [layer.min_singular_value for layer in drawn]
    logarithmic = max(values) > LOG_FROM_RATIO * min(values)
    edges = _edges(values, logarithmic)
    if logarithmic:
        ax.set_xscale("log")
        log_ticks(ax.xaxis, edges[0], edges[-1])
    else:
        linear_ticks(ax.xaxis, edges[-1])
    groups = {
        verdict: [x.min_singular_value for x in drawn if x.verdict == verdict]
        for verdict in VERDICT_COLOURS
    }
    highest = _stack(ax, edges, groups)
    ax.set_xlabel(f"smallest singular value {SIGMA_MIN} {NO_UNIT}")
    _count_axis(ax, highest)
    if left_out:
        note(ax, f"{left_out}: not drawn")
    legend_below(ax, columns=4)
    return ax


def _left_out(layers: Sequence[LayerResult], n_drawn: int) -> str:
    """How many of `layers` have a smallest singular value of 0, or one beyond `DRAWABLE`."""
    n_zero = sum(layer.min_singular_value == 0 for layer in layers)
    n_beyond = len(layers) - n_drawn - n_zero
    counts = [f"{count(n_zero, 'layer')} with exactly 0"] if n_zero else []
    counts += [f"{count(n_beyond, 'layer')} out of range"] if n_beyond else []
    return ", ".join(counts)


def plot_alpha(ax: "Axes", report: ModelReport) -> "Axes":
    """Histogram of the power law exponents, with lines at 2 and 6.

    Between those, Martin and Mahoney (2018) find well-trained layers.
    """
    ax.set_title(f"Power-law exponent {ALPHA} of each layer", loc="left")
    alphas = np.array([layer.power_law.alpha for layer in report.layers if layer.power_law])
    if not len(alphas):
        return empty(ax, "no layer has a power law")
    edges = _alpha_edges(alphas)
    end = edges[-1]
    counts = np.histogram(alphas, edges)[0]
    _bars(ax, edges, counts, BLUE, f"{count(len(alphas), 'layer')} with a power law")
    _alpha_lines(ax.axvline)
    ax.set_xlim(0, end)
    ax.set_xlabel(ALPHA_LABEL)
    _count_axis(ax, int(counts.max()))
    n_beyond = int((alphas > end).sum())
    if n_beyond:
        note(ax, f"{count(n_beyond, 'layer')} beyond, up to {alphas.max():.3g} →")
    legend_below(ax, columns=3)
    return ax


def plot_q_alpha(ax: "Axes", report: ModelReport) -> "Axes":
    """Exponent alpha of each layer against its aspect ratio Q, by kind; lines at 2, 6 and Q = 1.1.

    Up to that Q, theory lets the smallest singular value of a healthy matrix go to 0.
    """
    ax.set_title(f"Power-law exponent {ALPHA} against aspect ratio Q", loc="left")
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
    _alpha_lines(ax.axhline)
    ax.axvline(MIN_Q, color=PURPLE, lw=1.2, ls="-.", label=f"Q = {MIN_Q}")
    _view_q(ax, max(layer.Q for layer, _ in fitted))
    _view_alpha(ax, [alpha for _, alpha in fitted])
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel(ALPHA_LABEL)
    legend_below(ax, columns=5)
    return ax


def plot_rank_loss(ax: "Axes", report: ModelReport) -> "Axes":
    """The layers that lose most of their rank, in percent of M, under two tolerances."""
    ax.set_title("Rank loss", loc="left")
    losing = [layer for layer in report.layers if _loss(layer) > 0]
    n_none = len(report.layers) - len(losing)
    if not losing:
        return empty(ax, f"none of {count(n_none, 'layer')} loses rank")
    losing = sorted(losing, key=_loss, reverse=True)
    shown = losing[:MAX_BARS]
    rows = np.arange(len(shown))
    for offset, tolerance in zip((-0.2, 0.2), SHOWN_TOLERANCES):
        losses = [layer.rank_loss_percent[tolerance] for layer in shown]
        colour, _ = TOLERANCE_STYLES[tolerance]
        ax.barh(rows + offset, losses, height=0.38, color=colour, label=f"tolerance {tolerance}")
    for row, layer in enumerate(shown):
        end = (_loss(layer), row)
        style: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points"}
        ax.annotate(_losses(layer), end, fontsize=TINY_SIZE, va="center_baseline", **style)
    ax.set_yticks(rows, [figure_name(layer.name) for layer in shown], fontsize=TINY_SIZE)
    ax.set_ylim(max(len(shown), 6) - 0.4, -0.6)
    ax.set_xlim(0, 116)  # with room for the numbers
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel("directions lost (% of M)")
    others = (
        [f"{count(n_none, 'layer')} {'loses' if n_none == 1 else 'lose'} none"] if n_none else []
    )
    others += [f"{len(losing) - MAX_BARS} more lose less"] if len(losing) > MAX_BARS else []
    note(ax, "; ".join(others))
    legend_below(ax)
    return ax


def _loss(layer: LayerResult) -> float:
    return max(layer.rank_loss_percent[tolerance] for tolerance in SHOWN_TOLERANCES)


def _losses(layer: LayerResult) -> str:
    """The numbers of both bars; one where they are the same."""
    numbers = [f"{layer.rank_loss_percent[tolerance]:.3g}" for tolerance in SHOWN_TOLERANCES]
    return ", ".join(dict.fromkeys(numbers))


def _edges(values: Sequence[float], logarithmic: bool) -> np.ndarray:
    n_bins = int(min(40, max(12, 2 * np.sqrt(len(values)))))
    low, high = min(values), max(values)
    if logarithmic:
        return np.geomspace(low * (1 - 1e-9), high * (1 + 1e-9), n_bins + 1)
    return np.linspace(0, high * (1 + 1e-9), n_bins + 1)


def _stack(ax: "Axes", edges: np.ndarray, groups: dict[str, list[float]]) -> int:
    """Bars upon bars, a colour for each verdict; the height of the highest."""
    base = np.zeros(len(edges) - 1)
    for verdict, values in groups.items():
        if values:
            counts = np.histogram(values, edges)[0]
            _bars(ax, edges, counts, VERDICT_COLOURS[verdict], f"{verdict} ({len(values)})", base)
            base = base + counts
    return int(base.max())


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
        edgecolor=WHITE,
        linewidth=0.6,
        label=label,
    )


def _alpha_edges(alphas: np.ndarray) -> np.ndarray:
    """Bins from 0 on, for all `alphas` (n,) but a few large ones.

    With edges on the lines at 2 and 6, so that no bar straddles them.
    """
    least, usual, most = ALPHA_VIEW
    nine_tenths = float(np.sort(alphas)[int(0.9 * (len(alphas) - 1))])
    end = min(max(least, float(alphas.max())), min(max(usual, nine_tenths), most))
    finest = 0.25 if len(alphas) > MANY_LAYERS else 0.5
    wide_enough = (w for w in (0.25, 0.5, 1.0) if w >= finest and end <= MAX_ALPHA_BINS * w)
    width = next(wide_enough, 2.0)
    return np.arange(np.ceil(end / width) + 1) * width


def _alpha_lines(draw: Callable[..., Any]) -> None:
    """Lines at alpha = 2 and 6; `draw` is ax.axvline or ax.axhline."""
    for value, colour, style in ((2, VERMILLION, "--"), (6, GREY, ":")):
        draw(value, color=colour, lw=1.2, ls=style, label=f"{ALPHA} = {value}")


def _view_q(ax: "Axes", highest: float) -> None:
    """From Q = 1, where it begins, with the line at 1.1 in sight and apart from the axis."""
    if highest > 10:
        ax.set_xscale("log")
        ax.set_xlim(0.9, 1.15 * highest)
        log_ticks(ax.xaxis, 1, highest)
        return
    margin = 0.05 * (max(highest, 1.5) - 1)
    ax.set_xlim(1 - margin, max(highest, 1.5) + margin)
    linear_ticks(ax.xaxis, highest)


def _view_alpha(ax: "Axes", alphas: Sequence[float]) -> None:
    """The range of `alphas` and of the lines at 2 and 6, which have no meaning apart."""
    if max(alphas) > ALPHA_VIEW[1]:
        low, high = min(*alphas, 2) / 1.2, 1.2 * max(alphas)
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        log_ticks(ax.yaxis, low, high)
        return
    high = 1.05 * max(*alphas, 6)
    ax.set_ylim(0, high)
    linear_ticks(ax.yaxis, high)


def _count_axis(ax: "Axes", highest: int) -> None:
    """From 0 to above the `highest` bar; to above 1 where all layers are beyond the view."""
    ax.set_ylim(0, 1.08 * max(highest, 1))
    count_ticks(ax.yaxis)
    ax.set_ylabel("number of layers")
