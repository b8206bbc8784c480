"""The figure of every epoch: a line for each L2, for each hidden layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from allennlp_analyze.reports.figures.style import SMALL_SIZE, WIDTH, count_ticks, empty, line, note
from scripts.rank_collapse.marks import End, crosses, looks, name_ends, panels, place_of
from scripts.rank_collapse.measures import (
    DAGGER,
    MEASURES,
    NO_NETWORK,
    ZERO_NOTE,
    Measure,
    draw_measure_axis,
    limits_of,
    positive_of,
    set_title,
    shape_of,
)
from scripts.rank_collapse.results import HIDDEN, TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_history(networks: Sequence[TrainedNetwork]) -> "Figure":
    """Smallest singular value, directions lost and stable rank of both layers against the epoch."""
    rows = len(MEASURES)
    figure, axes = panels((WIDTH, 6.4), rows, 2, (0.62, 0.6, 0.65, 0.4), (1.08, 0.28))
    for row, (label, measure, log) in enumerate(MEASURES):
        every = [_series(n, name, measure)[1] for n in networks for name in HIDDEN]
        limits = limits_of(every, log)
        for column, name in enumerate(HIDDEN):
            ax = axes[row][column]
            if limits is None:
                empty(ax, "nothing to draw" if networks else NO_NETWORK)
                continue
            draw_measure_axis(ax, limits, log)
            _draw_epochs(ax, networks, name, measure, log)
            if row == 0:
                set_title(ax, f"{name}{shape_of(networks, name)}")
                note(ax, "L2")
            if row == rows - 1:
                ax.set_xlabel("epoch")
            if column == 0:
                ax.set_ylabel(label)
    diverged = any(network.diverged for network in networks)
    notes = [ZERO_NOTE] if _has_zero(networks) else []
    notes += [f"{DAGGER} diverged"] if diverged else []
    figure.text(0.01, 0.02, "; ".join(notes), fontsize=SMALL_SIZE)
    return figure


def _has_zero(networks: Sequence[TrainedNetwork]) -> bool:
    """Whether a smallest singular value is exactly 0, and so a cross."""
    states = [state for network in networks for state in network.epochs]
    return any(layer.min_singular_value == 0 for state in states for layer in state.layers)


def _series(network: TrainedNetwork, name: str, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """(n,) epochs, and (n,) what was measured, NaN where it is not defined."""
    layers = [(state.epoch, state.layer(name)) for state in network.epochs]
    known = [(epoch, layer) for epoch, layer in layers if layer is not None]
    values = [measure(layer) for _, layer in known]
    return (
        np.array([epoch for epoch, _ in known], float),
        np.array([np.nan if value is None else value for value in values], float),
    )


def _draw_epochs(
    ax: "Axes", networks: Sequence[TrainedNetwork], layer_name: str, measure: Measure, log: bool
) -> None:
    last = max(network.final.epoch for network in networks)
    ax.set_xlim(-0.02 * max(last, 1), 1.02 * max(last, 1))
    count_ticks(ax.xaxis)
    ends = []
    for network, look in zip(networks, looks(networks)):
        epochs, values = _series(network, layer_name, measure)
        shown = positive_of(values) if log else np.isfinite(values)
        line(ax, epochs[shown], values[shown], lw=1.3, ms=3.2, **look.style)
        if log:
            crosses(ax, epochs[values == 0])
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            end = known[-1]
            y = values[end] if values[end] > 0 or not log else ax.get_ylim()[0]
            name = look.label + DAGGER * network.diverged
            ends.append(End(*place_of(ax, epochs[end], y), name, look.colour))
    name_ends(ax, ends)
