"""The figures of the rank-collapse experiment: drawn from its results, and written as files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from allennlp_analyze.reports.figures.file import Caption, save_figure
from allennlp_analyze.reports.figures.style import (
    BLUE,
    SIGMA_MIN,
    SMALL_SIZE,
    VERMILLION,
    WHITE,
    WIDTH,
    count_ticks,
    empty,
    house_style,
    line,
    linear_ticks,
    note,
)
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.storage.files import make_directory
from allennlp_analyze.text.counts import count
from scripts.rank_collapse.marks import (
    End,
    L2Axis,
    Look,
    crosses,
    log_limits,
    log_y,
    looks,
    name_ends,
    panels,
    place_of,
    share_y,
)
from scripts.rank_collapse.results import HIDDEN, Experiment, TrainedNetwork
from scripts.rank_collapse.spectra import draw_eigenvalues
from scripts.rank_collapse.tikhonov_figure import draw_tikhonov
from scripts.rank_collapse.words import l2_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_NETWORK, ALL_DIVERGED = "no network was trained", "every network diverged"
ZERO_NOTE, DAGGER = "crosses on the axis: exactly 0", "†"
LAYER_LOOKS = {HIDDEN[0]: ("o", BLUE), HIDDEN[1]: ("s", VERMILLION)}
Measure = Callable[[LayerResult], Optional[float]]
# Of each layer: what the axis is called, the number, whether the axis is logarithmic.
MEASURES: tuple[tuple[str, Measure, bool], ...] = (
    (f"smallest singular value {SIGMA_MIN}", lambda layer: layer.min_singular_value, True),
    ("directions lost (% of M)", lambda layer: layer.lost_percent, False),
    ("stable rank", lambda layer: layer.stable_rank, True),
)


def draw_history(networks: Sequence[TrainedNetwork]) -> "Figure":
    """Smallest singular value, directions lost and stable rank of both layers against the epoch."""
    rows = len(MEASURES)
    figure, axes = panels((WIDTH, 6.4), rows, 2, (0.62, 0.6, 0.65, 0.4), (1.08, 0.28))
    for row, (label, measure, log) in enumerate(MEASURES):
        every = [_series(n, name, measure)[1] for n in networks for name in HIDDEN]
        limits = _limits(every, log)
        for column, name in enumerate(HIDDEN):
            ax = axes[row][column]
            if limits is None:
                empty(ax, "nothing to draw" if networks else NO_NETWORK)
                continue
            _draw_measure_axis(ax, limits, log)
            _draw_epochs(ax, networks, name, measure, log)
            if row == 0:
                _title(ax, f"{name}{_shape(networks, name)}")
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


def _title(ax: "Axes", text: str) -> None:
    """Above the power of ten that the ticks of the vertical axis may have in common."""
    ax.set_title(text, loc="left", fontsize=SMALL_SIZE, pad=15)


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


def _limits(series: Sequence[np.ndarray], log: bool) -> Optional[tuple[float, float]]:
    """The ends of an axis of them all; of a logarithmic one None where nothing is positive."""
    values = np.concatenate([np.zeros(0), *series])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return log_limits(values) if log else (0.0, float(values.max()))


def _draw_measure_axis(ax: "Axes", limits: tuple[float, float], log: bool) -> None:
    if log:
        log_y(ax, limits)
    else:
        share_y(ax, limits[1])


def _draw_epochs(
    ax: "Axes", networks: Sequence[TrainedNetwork], layer_name: str, measure: Measure, log: bool
) -> None:
    last = max(network.final.epoch for network in networks)
    ax.set_xlim(-0.02 * max(last, 1), 1.02 * max(last, 1))
    count_ticks(ax.xaxis)
    ends = []
    for network, look in zip(networks, looks(networks)):
        epochs, values = _series(network, layer_name, measure)
        shown = _positive(values) if log else np.isfinite(values)
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


def _positive(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & (values > 0)


def _shape(networks: Sequence[TrainedNetwork], name: str) -> str:
    """ ", 4096 x 384" where a network has the layer."""
    layers = (network.epochs[0].layer(name) for network in networks)
    found = next((layer for layer in layers if layer is not None), None)
    return "" if found is None else f", {found.N} \u00d7 {found.M}"


def draw_against_l2(networks: Sequence[TrainedNetwork]) -> "Figure":
    """The same measures at the end of training, against L2, which has a place for 0."""
    figure, axes = panels((WIDTH, 3.1), 1, len(MEASURES), (0.6, 0.4, 0.65, 0.45), (0.85, 0))
    ended = _ended(networks)
    axis = L2Axis(tuple(network.l2 for network in ended))
    for ax, (label, measure, log) in zip(axes[0], MEASURES):
        finals = {name: _finals(ended, name, measure) for name in HIDDEN}
        limits = _limits(list(finals.values()), log)
        if limits is None:
            empty(ax, _why_empty(networks))
            continue
        _draw_measure_axis(ax, limits, log)
        axis.draw(ax)
        _draw_finals(ax, axis, ended, finals, log)
        ax.set_xlabel("L2")
        _title(ax, label)
    notes = []
    if any(_collapsed(ended, name).any() for name in HIDDEN):
        notes.append("hollow: collapsed")
    if any((_finals(ended, name, MEASURES[0][1]) == 0).any() for name in HIDDEN):
        notes.append(ZERO_NOTE)
    if len(networks) > len(ended):
        notes.append(_left_out(networks))
    figure.text(0.01, 0.03, "; ".join(notes), fontsize=SMALL_SIZE)
    return figure


def _ended(networks: Sequence[TrainedNetwork]) -> list[TrainedNetwork]:
    """Those that were trained to the end."""
    return [network for network in networks if not network.diverged]


def _left_out(networks: Sequence[TrainedNetwork]) -> str:
    """The note below a figure of the ends: how many have none."""
    return f"{count(sum(n.diverged for n in networks), 'network')} diverged: not drawn"


def _why_empty(networks: Sequence[TrainedNetwork]) -> str:
    """What stands in the axes of a figure of the ends that has nothing to draw."""
    if not networks:
        return NO_NETWORK
    return "nothing to draw" if _ended(networks) else ALL_DIVERGED


def _finals(networks: Sequence[TrainedNetwork], name: str, measure: Measure) -> np.ndarray:
    """(n,) what was measured at the end, NaN where it is not defined."""
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
        shown = _positive(values) if log else np.isfinite(values)
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
    """Test accuracy against what is left of the rank of each layer, a point for each L2."""
    ended = _ended(networks)
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
                ax.set_title(f"{name}{_shape(ended, name)}", loc="left", fontsize=SMALL_SIZE)
                note(ax, "L2")
    if len(networks) > len(ended):
        figure.text(0.01, 0.015, _left_out(networks), fontsize=SMALL_SIZE)
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


def drawings(experiment: Experiment) -> Iterator[tuple[str, "Figure", Caption]]:
    """Every figure that the experiment has, with its name and what it shows in words.

    To be used within `house_style`.
    """
    networks = experiment.networks
    finals, ends = _finals_in_words(networks), _ends_in_words(networks, _finals_in_words)
    yield (
        "eigenvalues",
        draw_eigenvalues(networks),
        Caption(
            f"Eigenvalues of {HIDDEN[0]} before and after training, for each L2",
            "Histograms of the eigenvalues of W^T W, as initialised and after training, on a linear"
            f" and on a logarithmic axis, with the edges of the Marchenko-Pastur bulk. {finals}",
        ),
    )
    yield (
        "epochs",
        draw_history(networks),
        Caption(
            "Smallest singular value, directions lost and stable rank against the epoch",
            f"A line for each L2, for {HIDDEN[0]} and {HIDDEN[1]}. {finals}",
        ),
    )
    yield (
        "l2",
        draw_against_l2(networks),
        Caption(
            "Smallest singular value, directions lost and stable rank against L2",
            f"After training, for {HIDDEN[0]} and {HIDDEN[1]}; hollow marks are collapsed layers."
            f" {ends}",
        ),
    )
    yield (
        "accuracy",
        draw_accuracy(networks),
        Caption(
            "Test accuracy against rank",
            "A point for each L2: directions kept, and stable rank, of each hidden layer."
            f" {_ends_in_words(networks, _accuracies_in_words)}",
        ),
    )
    if experiment.tikhonov is not None:
        shown = experiment.tikhonov
        yield (
            "tikhonov",
            draw_tikhonov(shown),
            Caption(
                f"Tikhonov on {shown.layer.name} at L2 = {l2_text(shown.network_l2)}",
                "Condition number of W^T W + gamma I, and distance of the ridge inverse from the"
                " Moore-Penrose inverse, against gamma, with and without the"
                f" {count(shown.lost, 'lost direction')}.",
            ),
        )


def _finals_in_words(networks: Sequence[TrainedNetwork]) -> str:
    """The smallest singular values at the end."""
    found = []
    for network in networks:
        layers = ", ".join(f"{x.name} {x.min_singular_value:.2g}" for x in network.final.layers)
        found.append(f"L2 = {l2_text(network.l2)}: {layers}")
    return (
        f"Smallest singular values at the end: {'; '.join(found)}." if found else NO_NETWORK + "."
    )


def _accuracies_in_words(networks: Sequence[TrainedNetwork]) -> str:
    found = [f"{l2_text(n.l2)} {100 * n.final.test_accuracy:.1f}%" for n in networks]
    return f"Accuracy by L2: {', '.join(found)}." if found else NO_NETWORK + "."


def _ends_in_words(
    networks: Sequence[TrainedNetwork], say: Callable[[Sequence[TrainedNetwork]], str]
) -> str:
    """What `say` says of those that a figure of the ends draws, and how many it does not."""
    ended = _ended(networks)
    if len(ended) == len(networks):
        return say(networks)
    return f"{say(ended) if ended else ''} {_left_out(networks)}.".strip()


def write_figures(experiment: Experiment, directory: Path, plot_format: str) -> tuple[Path, ...]:
    """Write every figure into `directory` as png, svg or pdf; their paths. Raises `OutputError`."""
    folder = make_directory(directory)
    written = []
    with house_style():
        for name, figure, caption in drawings(experiment):
            path = folder / f"{name}.{plot_format}"
            written.append(save_figure(figure, path, plot_format, caption))
    return tuple(written)
