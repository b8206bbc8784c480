"""The measures of a layer in the figures, and their common axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, Optional

import numpy as np

from allennlp_analyze.reports.figures.style import SIGMA_MIN, SMALL_SIZE
from allennlp_analyze.results.layer import LayerResult
from scripts.rank_collapse.marks import log_limits, log_y, share_y
from scripts.rank_collapse.results import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_NETWORK, ALL_DIVERGED = "no network was trained", "every network diverged"
ZERO_NOTE, DAGGER = "crosses on the axis: exactly 0", "†"
Measure = Callable[[LayerResult], Optional[float]]


# For each measure of a layer: the label of the axis, the number, and whether the axis is
# logarithmic.
MEASURES: tuple[tuple[str, Measure, bool], ...] = (
    (f"smallest singular value {SIGMA_MIN}", lambda layer: layer.min_singular_value, True),
    ("directions lost (% of M)", lambda layer: layer.lost_percent, False),
    ("stable rank", lambda layer: layer.stable_rank, True),
)


def set_title(ax: "Axes", text: str) -> None:
    """Set a title above the common power of ten of the vertical axis."""
    ax.set_title(text, loc="left", fontsize=SMALL_SIZE, pad=15)


def limits_of(series: Sequence[np.ndarray], log: bool) -> Optional[tuple[float, float]]:
    """Returns the ends of a common axis; None for a logarithmic one without positive values."""
    values = np.concatenate([np.zeros(0), *series])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return log_limits(values) if log else (0.0, float(values.max()))


def draw_measure_axis(ax: "Axes", limits: tuple[float, float], log: bool) -> None:
    if log:
        log_y(ax, limits)
    else:
        share_y(ax, limits[1])


def positive_of(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & (values > 0)


def shape_of(networks: Sequence[TrainedNetwork], name: str) -> str:
    """Returns such as ", 4096 x 384" if a network has the layer."""
    layers = (network.epochs[0].layer(name) for network in networks)
    found = next((layer for layer in layers if layer is not None), None)
    return "" if found is None else f", {found.N} \u00d7 {found.M}"
