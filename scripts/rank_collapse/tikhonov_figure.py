"""Draws Tikhonov's figure: condition number and distance from the Moore-Penrose inverse."""

from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from allennlp_analyze.reports.figures.style import (
    BLACK,
    BLUE,
    GAMMA,
    GREEN,
    GREY,
    SMALL_SIZE,
    TINY_SIZE,
    VERMILLION,
    WIDTH,
    empty,
    line,
    log_ticks,
)
from scripts.rank_collapse.marks import End, log_limits, log_y, name_ends, panels, place_of
from scripts.rank_collapse.results import TikhonovDemonstration, TikhonovStep
from scripts.rank_collapse.tikhonov import LARGEST_CONDITION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Number = Callable[[TikhonovStep], Optional[float]]
EMPTY = "no gamma above 0"
# Of a name above the axes, in widths of these.
NAME_WIDTH = 0.35


def draw_tikhonov(shown: TikhonovDemonstration) -> "Figure":
    """Draw the condition number (left) and the distance with and without lost directions (right).

    gamma decreases from left to right.
    """
    figure, axes = panels((WIDTH, 3.2), 1, 2, (0.62, 0.95, 0.5, 0.45), (1.3, 0))
    left, right = axes[0]
    steps = [step for step in shown.steps if step.gamma > 0]
    if not steps:
        for ax in (left, right):
            empty(ax, EMPTY)
        return figure
    _draw_condition(left, shown, steps)
    _draw_distance(right, shown, steps)
    titles = (f"condition number of WᵀW + {GAMMA}I", "distance from the Moore-Penrose inverse")
    for ax, title in zip((left, right), titles):
        ax.set_title(title, loc="left", fontsize=SMALL_SIZE, pad=14)
    return figure


def _draw_condition(ax: "Axes", shown: TikhonovDemonstration, steps: "list[TikhonovStep]") -> None:
    gammas, values = _series(steps, lambda step: step.condition)
    limits = log_limits(np.append(values, LARGEST_CONDITION)) or (1.0, LARGEST_CONDITION)
    log_y(ax, limits)
    _gamma_axis(ax, steps)
    line(ax, gammas, values, color=BLUE, marker="o", ms=3.5, lw=1.3)
    _level(ax, LARGEST_CONDITION, GREY)
    last = shown.steps[-1]
    ends = [End(1.0, place_of(ax, gammas[-1], LARGEST_CONDITION)[1], "float64's limit", GREY)]
    if last.condition is not None:
        _level(ax, last.condition, BLACK)
        y = place_of(ax, gammas[-1], last.condition)[1]
        ends.append(End(1.0, y, f"{GAMMA} = 0", BLACK))
    name_ends(ax, ends)


def _draw_distance(ax: "Axes", shown: TikhonovDemonstration, steps: "list[TikhonovStep]") -> None:
    curves: list[tuple[str, Number, str, str]] = [
        ("lost directions\nleft out", lambda step: step.kept_distance, GREEN, "o")
    ]
    if shown.lost:
        curves.append(("lost directions\nkept", lambda step: step.distance, VERMILLION, "s"))
    else:
        curves = [("no direction\nis lost", lambda step: step.distance, GREEN, "o")]
    every = [_series(steps, number)[1] for _, number, _, _ in curves]
    limits = log_limits(np.concatenate(every))
    if limits is None:
        empty(ax, "no distance: nothing is left of W")
        return
    log_y(ax, limits)
    _gamma_axis(ax, steps)
    ends = []
    for name, number, colour, marker in curves:
        gammas, values = _series(steps, number)
        positive = values > 0
        style: dict[str, Any] = {"color": colour, "marker": marker, "ms": 3.5, "lw": 1.3}
        line(ax, gammas[positive], values[positive], **style)
        if positive.any():
            x, y = gammas[positive][-1], values[positive][-1]
            ends.append(End(*place_of(ax, x, y), name, colour))
    _mark_directions(ax, shown)
    name_ends(ax, ends)


def _mark_directions(ax: "Axes", shown: TikhonovDemonstration) -> None:
    """Mark the gammas that are the squares of the weakest kept and the strongest lost value."""
    marked = (("weakest kept", shown.weakest_kept), ("strongest lost", shown.strongest_lost))
    low, high = sorted(ax.get_xlim())
    places = [(name, value**2) for name, value in marked if value and low < value**2 < high]
    transform = ax.get_xaxis_transform()
    named: list[tuple[str, float]] = []
    for name, gamma in places:
        line(ax, (gamma, gamma), (0, 1), transform=transform, color=GREY, lw=0.8, ls=":")
        across = place_of(ax, gamma, ax.get_ylim()[0])[0]
        if named and across - named[-1][1] < NAME_WIDTH:
            before, at = named.pop()
            name, across = f"{before}, {name}", (at + across) / 2
        named.append((name, across))
    for name, across in named:
        side = "left" if across < NAME_WIDTH / 2 else "right" if across > 0.8 else "center"
        style: dict[str, Any] = {"ha": side, "va": "bottom", "fontsize": TINY_SIZE, "color": GREY}
        ax.text(across, 1.01, name, transform=ax.transAxes, **style)


def _series(steps: "list[TikhonovStep]", number: Number) -> tuple[np.ndarray, np.ndarray]:
    """Returns gammas (n,) and numbers (n,) of the steps that have one."""
    known = [(step.gamma, number(step)) for step in steps]
    found = [(gamma, value) for gamma, value in known if value is not None]
    return np.array([x for x, _ in found], float), np.array([y for _, y in found], float)


def _gamma_axis(ax: "Axes", steps: "list[TikhonovStep]") -> None:
    high, low = steps[0].gamma * 3, steps[-1].gamma / 3
    ax.set_xscale("log")
    ax.set_xlim(high, low)
    log_ticks(ax.xaxis, low, high)
    ax.set_xlabel(f"{GAMMA}, falling →")


def _level(ax: "Axes", value: float, colour: str) -> None:
    style: dict[str, Any] = {"color": colour, "lw": 0.9, "ls": (0, (4, 2))}
    line(ax, (0, 1), (value, value), transform=ax.get_yaxis_transform(), **style)
