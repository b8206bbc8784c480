"""The figures of the ends of the trainings: against L2, and accuracy against rank."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from allennlp_analyze.reports.figures.style import (
    BLUE,
    SMALL_SIZE,
    VERMILLION,
    WHITE,
    WIDTH,
    empty,
    line,
    linear_ticks,
    note,
)
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.counts import count
from scripts.rank_collapse.marks import (
    End,
    L2Axis,
    Look,
    crosses,
    looks,
    name_ends,
    panels,
    place_of,
)
from scripts.rank_collapse.measures import (
    ALL_DIVERGED,
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

LAYER_LOOKS = {HIDDEN[0]: ("o", BLUE), HIDDEN[1]: ("s", VERMILLION)}


def draw_against_l2(networks: Sequence[TrainedNetwork]) -> "Figure":
    """Draw the same measures at the end of training against L2, with a place for 0."""
    figure, axes = panels((WIDTH, 3.1), 1, len(MEASURES), (0.6, 0.4, 0.65, 0.45), (0.85, 0))
    ended = trained_to_the_end(networks)
    axis = L2Axis(tuple(network.l2 for network in ended))
    for ax, (label, measure, log) in zip(axes[0], MEASURES):
        finals = {name: _finals(ended, name, measure) for name in HIDDEN}
        limits = limits_of(list(finals.values()), log)
        if limits is None:
            empty(ax, _why_empty(networks))
            continue
        draw_measure_axis(ax, limits, log)
        axis.draw(ax)
        _draw_finals(ax, axis, ended, finals, log)
        ax.set_xlabel("L2")
        set_title(ax, label)
    notes = []
    if any(_collapsed(ended, name).any() for name in HIDDEN):
        notes.append("hollow: collapsed")
    if any((_finals(ended, name, MEASURES[0][1]) == 0).any() for name in HIDDEN):
        notes.append(ZERO_NOTE)
    if len(networks) > len(ended):
        notes.append(diverged_note(networks))
    figure.text(0.01, 0.03, "; ".join(notes), fontsize=SMALL_SIZE)
    return figure


def trained_to_the_end(networks: Sequence[TrainedNetwork]) -> list[TrainedNetwork]:
    """Returns the networks that were trained to the end."""
    return [network for network in networks if not network.diverged]


def diverged_note(networks: Sequence[TrainedNetwork]) -> str:
    """Returns the note below a figure of the ends, with the number of diverged networks."""
    return f"{count(sum(n.diverged for n in networks), 'network')} diverged: not drawn"


def _why_empty(networks: Sequence[TrainedNetwork]) -> str:
    """Returns the text for empty axes in a figure of the ends."""
    if not networks:
        return NO_NETWORK
    return "nothing to draw" if trained_to_the_end(networks) else ALL_DIVERGED


def _finals(networks: Sequence[TrainedNetwork], name: str, measure: Measure) -> np.ndarray:
    """Returns the measured values at the end (n,), NaN if undefined."""
    found = []
    for network in networks:
        layer = network.final.layer(name)
        value = None if layer is None else measure(layer)
        found.append(np.nan if value is None else value)
    return np.array(found, float)


def _draw_finals(
    ax: "Axes",
    axis: L2Axis,
    networks: Sequence[TrainedNetwork],
    finals: "dict[str, np.ndarray]",
    log: bool,
) -> None:
    places = np.array([axis.at(network.l2) for network in networks])
    positive = np.array([network.l2 > 0 for network in networks])
    ends = []
    for name, values in finals.items():
        marker, colour = LAYER_LOOKS[name]
        shown = positive_of(values) if log else np.isfinite(values)
        style: dict[str, Any] = {"color": colour, "lw": 1.3}
        line(ax, places[shown & positive], values[shown & positive], **style)
        for hollow in (False, True):
            which = shown & (_collapsed(networks, name) == hollow)
            face = WHITE if hollow else colour
            marks: dict[str, Any] = {"ls": "", "marker": marker, "ms": 6, "mfc": face}
            line(ax, places[which], values[which], color=colour, mew=1.3, zorder=3, **marks)
        if log:
            crosses(ax, places[values == 0])
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            last = known[np.argmax(places[known])]
            y = values[last] if values[last] > 0 or not log else ax.get_ylim()[0]
            ends.append(End(*place_of(ax, places[last], y), name, colour))
    name_ends(ax, ends)


def _collapsed(networks: Sequence[TrainedNetwork], name: str) -> np.ndarray:
    layers = [network.final.layer(name) for network in networks]
    return np.array([layer is not None and layer.verdict is Verdict.COLLAPSED for layer in layers])


def draw_accuracy(networks: Sequence[TrainedNetwork]) -> "Figure":
    """Draw test accuracy against the remaining rank of each layer, a point for each L2."""
    ended = trained_to_the_end(networks)
    # Room for the note below.
    bottom = 0.45 if len(ended) == len(networks) else 0.7
    figure, axes = panels((WIDTH, 4.55 + bottom), 2, 2, (0.6, 0.6, bottom, 0.3), (1.08, 0.6))
    of_ended = [look for n, look in zip(networks, looks(networks)) if not n.diverged]
    measures: tuple[tuple[str, Measure], ...] = (
        ("directions kept", lambda layer: float(layer.M - layer.lost_directions)),
        ("stable rank", lambda layer: layer.stable_rank),
    )
    for row, (label, measure) in enumerate(measures):
        for column, name in enumerate(HIDDEN):
            ax = axes[row][column]
            values = _finals(ended, name, measure)
            if not np.isfinite(values).any():
                empty(ax, _why_empty(networks))
                continue
            _draw_accuracies(ax, ended, values, of_ended)
            ax.set_xlabel(f"{label} of {name}")
            if column == 0:
                ax.set_ylabel("test accuracy (%)")
            if row == 0:
                ax.set_title(f"{name}{shape_of(ended, name)}", loc="left", fontsize=SMALL_SIZE)
                note(ax, "L2")
    if len(networks) > len(ended):
        figure.text(0.01, 0.015, diverged_note(networks), fontsize=SMALL_SIZE)
    return figure


def _draw_accuracies(
    ax: "Axes",
    networks: Sequence[TrainedNetwork],
    values: np.ndarray,
    looks_of: Sequence[Look],
) -> None:
    accuracies = np.array([100 * network.final.test_accuracy for network in networks])
    low, high = float(accuracies.min()), float(accuracies.max())
    margin = max(0.08 * (high - low), 0.5)
    ax.set_ylim(low - margin, high + margin)
    linear_ticks(ax.yaxis, 100)
    most = float(np.nanmax(values))
    ax.set_xlim(-0.04 * most - 0.01, 1.05 * most + 0.01)
    linear_ticks(ax.xaxis, max(most, 1.0))
    ends = []
    for accuracy, value, look in zip(accuracies, values, looks_of):
        if np.isfinite(value):
            marks: dict[str, Any] = {"ls": "", "marker": look.marker, "ms": 7, "mew": 0}
            line(ax, [value], [accuracy], color=look.colour, zorder=3, **marks)
            ends.append(End(*place_of(ax, value, accuracy), look.label, look.colour))
    name_ends(ax, ends)
