"""Draws the study's figure: the eigenvalues of FC1 before and after training, for each L2."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from allennlp_analyze.reports.figures.density import bulk_of
from allennlp_analyze.reports.figures.density_plots import X_LABEL
from allennlp_analyze.reports.figures.style import (
    GREEN,
    GREY,
    SMALL_SIZE,
    TINY_SIZE,
    VERDICT_COLOURS,
    WIDTH,
    empty,
    line,
    linear_ticks,
    log_ticks,
)
from allennlp_analyze.results.layer import LayerResult
from scripts.rank_collapse.marks import DRAWABLE, legend_below_all, panels
from scripts.rank_collapse.results import HIDDEN, TrainedNetwork
from scripts.rank_collapse.words import l2_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYER = HIDDEN[0]
COLUMNS = 4
LINEAR_BINS, BINS_PER_DECADE, MOST_LOG_BINS = 40, 6, 90
# The end of a linear axis, as a multiple of the upper edge of the untrained bulk.
VIEW = 1.25
# Eigenvalues this far below the largest share the first bin: they are below float32's precision,
# and would take most of the axis.
FAR_BELOW = 1e-20
PANEL_ROW, MARGIN = 3.2, 0.75
AFTER_ALPHA = 0.55
# The height of the axes as a multiple of the highest bar, with room for notes.
NOTES_ROOM = 1.35


@dataclass(frozen=True)
class Pair:
    """The layer of one network, at the start and at the end."""

    network: TrainedNetwork
    before: LayerResult
    after: LayerResult


def draw_eigenvalues(networks: Sequence[TrainedNetwork]) -> "Figure":
    """Draw pairs of histograms of the eigenvalues of W^T W, linear above and logarithmic below.

    The logarithmic axis separates collapsed eigenvalues. All panels of a row have the same bins.
    Lines mark the edges of the Marchenko-Pastur bulk.
    """
    found = [pair for network in networks if (pair := _pair(network)) is not None]
    if not found:
        figure, axes = panels((WIDTH, 2.0), 1, 1, (0.1, 0.1, 0.1, 0.1), (0, 0))
        empty(axes[0][0], "no network has this layer")
        return figure
    blocks = [found[start : start + COLUMNS] for start in range(0, len(found), COLUMNS)]
    columns = min(COLUMNS, max(2, len(found)))
    height = PANEL_ROW * len(blocks) + MARGIN
    figure, axes = panels(
        (WIDTH, height), 2 * len(blocks), columns, (0.5, 0.1, 0.95, 0.3), (0.42, 0.5)
    )
    linear, log = _linear_edges(found), _log_edges(found)
    for number in range(len(blocks) * columns):
        block, column = divmod(number, columns)
        upper, lower = axes[2 * block][column], axes[2 * block + 1][column]
        if number >= len(found):
            upper.set_axis_off()
            lower.set_axis_off()
            continue
        pair = found[number]
        upper.set_title(f"L2 = {l2_label(pair.network.l2)}", loc="left", fontsize=SMALL_SIZE)
        _draw_linear(upper, pair, linear)
        _draw_log(lower, pair, log)
        if column == 0:
            upper.set_ylabel("eigenvalues a bin")
            lower.set_ylabel("eigenvalues a bin")
    figure.text(0.5, 0.57 / height, X_LABEL, ha="center", va="center")
    handles = _handles(found)
    legend_below_all(figure, handles, 0.2, 5 if len(handles) < 4 else 3)
    return figure


def _pair(network: TrainedNetwork) -> Optional[Pair]:
    before, after = network.epochs[0].layer(LAYER), network.final.layer(LAYER)
    return None if before is None or after is None else Pair(network, before, after)


def _linear_edges(pairs: Sequence[Pair]) -> np.ndarray:
    """Bins (LINEAR_BINS + 1,) from 0 to beyond the eigenvalues before training."""
    ends = []
    for pair in pairs:
        bulk = bulk_of(pair.before)
        ends.append(pair.before.max_singular_value**2 if bulk is None else bulk.lambda_plus)
    return np.linspace(0, VIEW * max(*ends, DRAWABLE[0]), LINEAR_BINS + 1)


def _log_edges(pairs: Sequence[Pair]) -> np.ndarray:
    """Bins over all positive eigenvalues; the smallest ones share the first bin."""
    values = np.concatenate([x.eigenvalues for pair in pairs for x in (pair.before, pair.after)])
    positive = values[values > DRAWABLE[0]]
    if not len(positive):
        return np.geomspace(0.1, 10, 9)
    high = float(positive.max()) * 1.2
    low = max(float(positive.min()) / 1.2, high * FAR_BELOW)
    bins = int(np.clip(BINS_PER_DECADE * np.log10(high / low), 12, MOST_LOG_BINS))
    return np.geomspace(low, high, bins + 1)


def _draw_linear(ax: "Axes", pair: Pair, edges: np.ndarray) -> None:
    eigenvalues, end = pair.after.eigenvalues, edges[-1]
    before = _counts(pair.before.eigenvalues, edges)
    after = _counts(eigenvalues, edges)
    _draw(ax, pair, edges, before, after)
    ax.set_xlim(0, end)
    linear_ticks(ax.xaxis, end)
    notes = []
    if after[0] > max(before[0], len(eigenvalues) / 10):
        notes.append(f"{after[0]:.0f} of {len(eigenvalues)} below {edges[1]:.2g}")
    n_beyond = int(np.count_nonzero(eigenvalues > end))
    if n_beyond:
        notes.append(f"{n_beyond} beyond, to {eigenvalues[0]:.2g} →")
    _notes(ax, notes)


def _draw_log(ax: "Axes", pair: Pair, edges: np.ndarray) -> None:
    # Values below the first bin are counted in it, except zeros.
    def counted(values: np.ndarray) -> np.ndarray:
        return _counts(np.maximum(values[values > 0], edges[0]), edges)

    ax.set_xscale("log")
    _draw(ax, pair, edges, counted(pair.before.eigenvalues), counted(pair.after.eigenvalues))
    ax.set_xlim(edges[0], edges[-1])
    log_ticks(ax.xaxis, edges[0], edges[-1])
    values = pair.after.eigenvalues
    n_zero = int(np.count_nonzero(values == 0))
    n_below = int(np.count_nonzero((values > 0) & (values < edges[0])))
    notes = [f"{n_zero} of {len(values)} exactly 0"] if n_zero else []
    if n_below:
        notes.append(f"{n_below} below {edges[0]:.0e}: first bin")
    _notes(ax, notes)


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(values, edges)[0].astype(float)


def _draw(ax: "Axes", pair: Pair, edges: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    from matplotlib.patches import StepPatch

    colour = VERDICT_COLOURS[pair.after.verdict]
    ax.add_artist(StepPatch(after, edges, fill=True, lw=0, color=colour, alpha=AFTER_ALPHA))
    ax.add_artist(StepPatch(before, edges, fill=False, lw=1.0, color=GREY))
    for layer, edge_colour in ((pair.before, GREY), (pair.after, GREEN)):
        bulk = bulk_of(layer)
        for edge in () if bulk is None else (bulk.lambda_minus, bulk.lambda_plus):
            if edges[0] < edge < edges[-1]:
                style: dict[str, Any] = {"color": edge_colour, "lw": 1.0, "ls": ":"}
                line(
                    ax,
                    (edge, edge),
                    (0, 1 / NOTES_ROOM),
                    transform=ax.get_xaxis_transform(),
                    **style,
                )
    top = NOTES_ROOM * max(1.0, before.max(), after.max())
    ax.set_ylim(0, top)
    linear_ticks(ax.yaxis, top)


def _notes(ax: "Axes", notes: Sequence[str]) -> None:
    ax.text(
        0.98,
        0.99,
        "\n".join(notes),
        transform=ax.transAxes,
        fontsize=TINY_SIZE,
        ha="right",
        va="top",
        linespacing=1.3,
    )


def _handles(pairs: Sequence[Pair]) -> list[Any]:
    """Returns the handles of the legend for everything that some panel shows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    verdicts = {pair.after.verdict for pair in pairs}
    filled = [
        Patch(color=colour, alpha=AFTER_ALPHA, lw=0, label=f"trained: {verdict.words}")
        for verdict, colour in VERDICT_COLOURS.items()
        if verdict in verdicts
    ]
    edges: dict[str, Any] = {"ls": ":", "lw": 1.0}
    return [
        Patch(fill=False, edgecolor=GREY, lw=1.0, label="before training"),
        *filled,
        Line2D([], [], color=GREEN, label="Marchenko-Pastur edges (grey: before)", **edges),
    ]
