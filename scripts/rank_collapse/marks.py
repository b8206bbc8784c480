"""Shared by the rank-collapse figures: looks for every L2, names at the ends of lines, axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from allennlp_analyze.reports.figures.singular_values import spread
from allennlp_analyze.reports.figures.style import (
    GREY,
    GROUP_LOOKS,
    SMALL_SIZE,
    TINY_SIZE,
    VERMILLION,
    line,
    linear_ticks,
    log_ticks,
    new_figure,
)
from scripts.rank_collapse.results import TrainedNetwork
from scripts.rank_collapse.words import l2_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The position of names to the right of the axes, in widths of the axes, and their spacing in
# heights of a letter.
LEADER_FROM, LEADER_TO, LABELS_AT = 1.01, 1.05, 1.06
LABEL_SPACING = 1.35
# The distance of 0 from the smallest positive L2 on the axis of L2, in decades.
ZERO_GAP = 1.0
MAX_TICKS = 4
# Ticks of L2 closer than this, in widths of the axes, would overlap.
TICK_SPACING = 0.17
# The smallest range of an axis.
LEAST_RATIO = 4.0
# The range of values for which float64 can represent the ends of a logarithmic axis.
DRAWABLE = (1e-290, 1e290)


@dataclass(frozen=True)
class Look:
    """The look of one network of the sweep."""

    label: str
    marker: str
    colour: str
    dashes: str = "-"

    @property
    def style(self) -> dict[str, Any]:
        return {"marker": self.marker, "color": self.colour, "ls": self.dashes}


@dataclass(frozen=True)
class End:
    """A name to the right of the axes, for the point (x, y), both in 0..1 of the axes."""

    x: float
    y: float
    text: str
    colour: str


def looks(networks: Sequence[TrainedNetwork]) -> tuple[Look, ...]:
    """A look for each network: seven colours and marks, then the same with dashes, and so on."""
    found = []
    for number, network in enumerate(networks):
        again, place = divmod(number, len(GROUP_LOOKS))
        marker, colour = GROUP_LOOKS[place]
        found.append(Look(l2_label(network.l2), marker, colour, ("-", "--", ":")[again % 3]))
    return tuple(found)


def panels(
    size: tuple[float, float],
    rows: int,
    columns: int,
    margins: tuple[float, float, float, float],
    gaps: tuple[float, float],
) -> tuple["Figure", list[list["Axes"]]]:
    """A figure of `size` inches with rows x columns of axes.

    `margins` (left, right, bottom, top) and `gaps` (across, down) are in inches, too, because their
    contents do not grow with the figure.
    """
    width, height = size
    left, right, bottom, top = margins
    across, down = gaps
    wide = (width - left - right - across * (columns - 1)) / columns
    high = (height - bottom - top - down * (rows - 1)) / rows
    figure = new_figure(width, height)
    axes = []
    for row in range(rows):
        low = height - top - high * (row + 1) - down * row
        places = [(left + column * (wide + across), low) for column in range(columns)]
        axes.append(
            [
                figure.add_axes((x / width, y / height, wide / width, high / height))
                for x, y in places
            ]
        )
    return figure, axes


def name_ends(ax: "Axes", ends: Sequence[End]) -> None:
    """Name `ends` to the right of `ax`, each near its point and without overlaps."""
    if not ends:
        return
    ends = sorted(ends, key=lambda end: end.y)
    spacing = LABEL_SPACING * TINY_SIZE / 72 * ax.figure.dpi / ax.bbox.height
    places = spread(np.array([end.y for end in ends]), spacing)
    for end, place in zip(ends, places):
        x, y = (max(end.x, 0.0), LEADER_FROM, LEADER_TO), (end.y, end.y, place)
        line(ax, x, y, transform=ax.transAxes, color=GREY, lw=0.5, clip_on=False, zorder=0.5)
        ax.text(
            LABELS_AT,
            place,
            end.text,
            transform=ax.transAxes,
            fontsize=TINY_SIZE,
            va="center",
            color=end.colour if end.colour == GREY else "black",
        )


def place_of(ax: "Axes", x: float, y: float) -> tuple[float, float]:
    """Convert data coordinates to shares of the axes, clipped to them."""
    across, up = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))
    return float(np.clip(across, 0, 1)), float(np.clip(up, 0, 1))


def log_limits(values: np.ndarray) -> Optional[tuple[float, float]]:
    """Returns the ends of a logarithmic axis of the positive `values`, or None without any."""
    low, high = DRAWABLE
    positive = values[(values > low) & (values < high)]
    if not len(positive):
        return None
    low, high = float(positive.min()), float(positive.max())
    widen = max(1.0, math.sqrt(LEAST_RATIO * low / high))
    margin = max((high / low) ** 0.06, 1.0) * widen
    return low / margin, high * margin


def log_y(ax: "Axes", limits: tuple[float, float]) -> None:
    ax.set_yscale("log")
    ax.set_ylim(*limits)
    log_ticks(ax.yaxis, *limits)


def share_y(ax: "Axes", highest: float) -> None:
    """Set an axis of percents from 0 to `highest`, at least to 10."""
    top = max(10.0, min(highest * 1.1, 104.0))
    ax.set_ylim(-0.03 * top, top)
    linear_ticks(ax.yaxis, top)


def crosses(ax: "Axes", x: Any) -> None:
    """Draw marks on the axis for values of 0, which have no place on a logarithmic axis."""
    foot = np.zeros(len(x))
    style: dict[str, Any] = {"ls": "", "marker": "x", "ms": 5, "color": VERMILLION}
    line(ax, x, foot, transform=ax.get_xaxis_transform(), clip_on=False, zorder=5, **style)


@dataclass(frozen=True)
class L2Axis:
    """A logarithmic axis of L2 with a separate place for 0 on the left."""

    values: tuple[float, ...]

    @property
    def positive(self) -> list[float]:
        return sorted({value for value in self.values if value > 0})

    @property
    def zero(self) -> float:
        """The position of 0."""
        return math.log10(self.positive[0]) - ZERO_GAP if self.positive else 0.0

    def at(self, l2: float) -> float:
        return math.log10(l2) if l2 > 0 else self.zero

    def draw(self, ax: "Axes") -> None:
        """Set limits and ticks, and draw a line between 0 and the rest."""
        from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

        places = [self.at(value) for value in self.values]
        low, high = min(places), max(places)
        pad = max(0.08 * (high - low), 0.3)
        ax.set_xlim(low - pad, high + pad)
        ticks = self._ticks(TICK_SPACING * (high - low + 2 * pad))
        ax.xaxis.set_major_locator(FixedLocator([self.at(value) for value in ticks]))
        ax.xaxis.set_major_formatter(FixedFormatter([l2_label(value) for value in ticks]))
        ax.xaxis.set_minor_locator(NullLocator())
        if self.positive and 0 in self.values:
            style: dict[str, Any] = {"color": GREY, "lw": 0.8, "ls": (0, (1, 2))}
            between = self.zero + ZERO_GAP / 2
            line(ax, (between, between), (0, 1), transform=ax.get_xaxis_transform(), **style)

    def _ticks(self, spacing: float) -> list[float]:
        """Returns every value, or powers of ten if there are many, at least `spacing` apart."""
        shown = self.positive
        if len(shown) > MAX_TICKS:
            low, high = math.ceil(math.log10(shown[0])), math.floor(math.log10(shown[-1]))
            step = max(1, math.ceil((high - low + 1) / MAX_TICKS))
            shown = [10.0**power for power in range(low, high + 1, step)] or shown
        kept = [0.0] if 0 in self.values else []
        for value in shown:
            if not kept or self.at(value) - self.at(kept[-1]) >= spacing:
                kept.append(value)
        return kept


def legend_below_all(figure: "Figure", handles: Sequence[Any], y: float, columns: int) -> None:
    """Draw one centered legend for all axes, `y` inches above the bottom."""
    height = float(figure.get_figheight())
    figure.legend(
        handles=list(handles),
        loc="center",
        bbox_to_anchor=(0.5, y / height),
        ncol=columns,
        fontsize=SMALL_SIZE,
        columnspacing=1.4,
        handlelength=1.6,
    )
