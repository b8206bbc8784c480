"""Plots the linear layers of a zoo's counted models by group."""

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional, Union

import numpy as np

from allennlp_analyze.options.names import PLOT_FORMATS
from allennlp_analyze.reports.figures.file import Caption, save_figure
from allennlp_analyze.reports.figures.layers import (
    ALPHA_LINES,
    SIGMA_MIN_LABEL,
    Drawn,
    alpha_axis,
    alpha_edges,
    beyond,
    count_axis,
    draw_min_singular_values,
    draw_q_alpha,
    label_of,
    loss_axes,
    loss_label,
    no_bar,
    stack,
)
from allennlp_analyze.reports.figures.style import (
    SIGMA_MIN,
    WHITE,
    WIDTH,
    empty,
    house_style,
    legend_below,
    linear_ticks,
    new_figure,
    note,
)
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.storage.files import make_directory
from allennlp_analyze.text.counts import count, percent
from allennlp_analyze.text.names import display_width, figure_name
from allennlp_analyze.zoo.reports.arrays import LinearLayers
from allennlp_analyze.zoo.reports.points import ZooPoints, zoo_points
from allennlp_analyze.zoo.results import ZooReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOTS = "plots"
HEIGHT = 4.6
# The width of a figure in characters of its legend, and the space beside each label.
LEGEND_CELLS, HANDLE_CELLS = 105, 7
LEGEND_AREA = 40
# The study's zoom on values near zero, with bins independent of the data.
ZOOM, ZOOM_BINS = 0.01, 40
# The study finds 80% of the exponents between these.
USUAL_ALPHA = (2, 4)
# Above this number of points a sample is drawn: more would overlap and fill the file.
MAX_POINTS = 20_000
# The area and opacity of each point, up to these numbers of points.
POINT_STYLES = ((300, LEGEND_AREA, 0.75), (3_000, 14, 0.6), (MAX_POINTS, 5, 0.5))
MAX_BARS = 20
LOSS_LABEL = "directions lost (% of M), and how many of the linear layers lose any"
# The end of the axis of losses, with room for the numbers at the longest bar.
LOSS_ROOM = 1.3


def plot_min_singular_values(ax: "Axes", points: ZooPoints) -> "Axes":
    """Histogram of the smallest singular value of every linear layer, by group."""
    return _histogram(ax, points, points.layers, "no linear layer")


def plot_min_singular_values_q(ax: "Axes", points: ZooPoints) -> "Axes":
    """The same for layers with Q > MIN_Q; for a smaller Q, theory lets that value be 0."""
    return _histogram(ax, points, _clear(points), f"no linear layer with Q > {MIN_Q}")


def _clear(points: ZooPoints) -> LinearLayers:
    return points.layers.where(points.layers.Q > MIN_Q)


def _histogram(ax: "Axes", points: ZooPoints, layers: LinearLayers, nothing: str) -> "Axes":
    draw_min_singular_values(ax, _by_group(points, layers, layers.sigma_min), nothing)
    return _legend(ax)


def plot_min_singular_values_zoom(ax: "Axes", points: ZooPoints) -> "Axes":
    """Layers with Q > MIN_Q and a smallest singular value below ZOOM, the zoom of the 2018 study.

    The axis is linear, so that exact zeros are in the first bar; they are also counted.
    """
    where = f"{SIGMA_MIN} < {ZOOM}"
    clear = _clear(points)
    near = clear.where(clear.sigma_min < ZOOM)
    if not len(near):
        of = f"none of {count(len(clear), 'linear layer')}" if len(clear) else "no linear layer"
        return empty(ax, f"{of} with Q > {MIN_Q}{f' has {where}' if len(clear) else ''}")
    edges = np.linspace(0, ZOOM, ZOOM_BINS + 1)
    highest = stack(ax, edges, _by_group(points, near, near.sigma_min))
    ax.set_xlim(0, ZOOM)
    linear_ticks(ax.xaxis, 10 * ZOOM)  # plain numbers, which a power of ten would not shorten
    ax.set_xlabel(SIGMA_MIN_LABEL)
    count_axis(ax, highest)
    n_zero = int(np.count_nonzero(near.sigma_min == 0))
    zeros = f", {n_zero} exactly 0" if n_zero else ""
    note(ax, f"{len(near)} of {count(len(clear), 'layer')}{zeros}")
    return _legend(ax)


def plot_alpha(ax: "Axes", points: ZooPoints) -> "Axes":
    """Histogram of the power-law exponents, by group, with lines at 2, 4 and 6.

    Most of those of the 2018 study are between 2 and 4; the title gives the share here.
    """
    fitted = points.layers.fitted
    alphas = fitted.alpha
    if not len(alphas):
        return empty(ax, "no linear layer has a power law")
    edges = alpha_edges(alphas)
    highest = stack(ax, edges, _by_group(points, fitted, alphas))
    alpha_axis(ax, edges, highest, tuple(ALPHA_LINES))
    low, high = USUAL_ALPHA
    n_usual = int(np.count_nonzero((low <= alphas) & (alphas <= high)))
    usual = f"{percent(n_usual / len(alphas))} from {low} to {high}"
    note(ax, "; ".join(filter(None, (usual, beyond(alphas, edges)))))
    return _legend(ax)


def plot_q_alpha(ax: "Axes", points: ZooPoints) -> "Axes":
    """Exponent alpha against aspect ratio Q, by group; a sample if there are very many layers."""
    fitted = points.layers.fitted
    if not len(fitted):
        return empty(ax, "no linear layer has a power law")
    shown = fitted.where(_sample(len(fitted)))
    groups = _by_group(points, shown, np.column_stack([shown.Q, shown.alpha]))
    size, opacity = next(style[1:] for style in POINT_STYLES if len(shown) <= style[0])
    draw_q_alpha(ax, groups, tuple(ALPHA_LINES), s=size, alpha=opacity)
    if len(shown) < len(fitted):
        note(ax, f"{len(shown)} of {len(fitted)} layers, chosen at random")
    return _legend(ax, area=size)


def _sample(n: int) -> np.ndarray:
    """Indices of at most `MAX_POINTS` of n points, always the same ones.

    They are random, not every k-th: models repeat, so that would show the same layer of each.
    """
    if n <= MAX_POINTS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).permutation(n)[:MAX_POINTS])


def plot_rank_loss(ax: "Axes", points: ZooPoints) -> "Axes":
    """The models with the largest rank loss of a linear layer, in percent of M, by group.

    The loss follows the verdict's rule; for Q up to MIN_Q, only values within rounding count.
    """
    n_none = points.n_models - len(points.losses)
    if not points.losses:
        return empty(ax, f"none of {count(n_none, 'model')} loses rank")
    shown = points.losses[:MAX_BARS]
    for index, look in enumerate(points.looks):
        rows = [row for row, model in enumerate(shown) if model.look == index]
        if rows:
            losses = [shown[row].percent for row in rows]
            ax.barh(
                rows,
                losses,
                height=0.7,
                color=look.colour,
                hatch=look.hatch,
                edgecolor=WHITE,
                label=label_of(look, len(rows)),
            )
    for row, model in enumerate(shown):
        layers = f"{model.n_losing} of {model.n_layers}"
        loss_label(ax, row, model.percent, f"{model.percent:.3g}: {layers}")
    loss_axes(ax, [figure_name(model.name) for model in shown], LOSS_LABEL)
    ax.set_xlim(0, LOSS_ROOM * shown[0].percent)
    linear_ticks(ax.xaxis, shown[0].percent)
    note(ax, no_bar("model", n_none, len(points.losses) - len(shown)))
    return _legend(ax, right=True)


def _by_group(points: ZooPoints, layers: LinearLayers, values: np.ndarray) -> list[Drawn]:
    """Returns `values` of `layers`, (n,) or (n, 2), for each look."""
    return [(look, values[layers.group == index]) for index, look in enumerate(points.looks)]


def _legend(ax: "Axes", right: bool = False, area: float = LEGEND_AREA) -> "Axes":
    """Draw the legend below the axes in as few rows as possible.

    `right` is as in `legend_below`; `area` is that of the marks.
    """
    if ax.axison:
        labels = ax.get_legend_handles_labels()[1]
        longest = max(map(display_width, labels))
        fitting = max(1, LEGEND_CELLS // (longest + HANDLE_CELLS))
        columns = math.ceil(len(labels) / math.ceil(len(labels) / fitting))
        legend_below(ax, columns, right=right, enlarged=math.sqrt(LEGEND_AREA / area))
    return ax


# The captions are in ASCII, so that they are readable in a PDF, too.
ZOO_PLOTS: tuple[tuple[str, Callable[["Axes", ZooPoints], "Axes"], Caption], ...] = (
    (
        "min_singular_values",
        plot_min_singular_values,
        Caption(
            "Smallest singular value of each linear layer",
            "Histogram of the smallest singular value of each linear layer, by group.",
        ),
    ),
    (
        "min_singular_values_q",
        plot_min_singular_values_q,
        Caption(
            f"Smallest singular value of each linear layer with Q above {MIN_Q}",
            "Histogram of the smallest singular value of each linear layer whose aspect ratio Q is"
            f" above {MIN_Q}, by group.",
        ),
    ),
    (
        "min_singular_values_zoom",
        plot_min_singular_values_zoom,
        Caption(
            "Smallest singular values near zero",
            "Histogram from 0 to 0.01 of the smallest singular value of each linear layer with Q"
            f" above {MIN_Q}, by group.",
        ),
    ),
    (
        "alpha",
        plot_alpha,
        Caption(
            "Power-law exponent alpha of each linear layer",
            "Histogram of the exponents of the linear layers' power laws, by group, with lines at"
            " 2, 4 and 6.",
        ),
    ),
    (
        "q_alpha",
        plot_q_alpha,
        Caption(
            "Power-law exponent alpha against aspect ratio Q",
            "A point for each linear layer with a power law, by group, with lines at alpha = 2, 4"
            f" and 6, and at Q = {MIN_Q}.",
        ),
    ),
    (
        "rank_loss",
        plot_rank_loss,
        Caption(
            "Rank loss of each model",
            "Bars for the models that lose most directions of a linear layer, by group,"
            " by the verdict's rule.",
        ),
    ),
)
FIGURES_PER_ZOO = len(ZOO_PLOTS)


def write_zoo_plots(
    report: ZooReport,
    directory: Union[str, Path],
    fmt: str = "png",
    progress: Optional[Callable[[], None]] = None,
) -> list[Path]:
    """Write every figure below `directory`/plots as `fmt` (png, svg or pdf); returns their paths.

    `directory` is the one with zoo.json. `progress` is called after each of the
    `FIGURES_PER_ZOO` figures. Raises `OutputError`.
    """
    plots = make_directory(Path(directory) / PLOTS)
    points = zoo_points(report)
    written = []
    with house_style():
        for name, _, caption in ZOO_PLOTS:
            figure = draw_zoo(new_zoo_figure(), name, points)
            path = plots / f"{name}.{fmt}"
            written.append(save_figure(figure, path, fmt, zoo_caption(caption, points)))
            if progress is not None:
                progress()
    return written


def remove_zoo_plots(directory: Union[str, Path]) -> None:
    """Remove the figures that `write_zoo_plots` wrote in any format, and plots/ if it is empty."""
    plots = Path(directory) / PLOTS
    if plots.is_symlink():
        return
    with contextlib.suppress(OSError):  # it is checked before, and written with its own errors
        for name, _, _ in ZOO_PLOTS:
            for fmt in PLOT_FORMATS:
                (plots / f"{name}.{fmt}").unlink(missing_ok=True)
        plots.rmdir()


def new_zoo_figure() -> "Figure":
    """Returns an empty figure for `draw_zoo`."""
    return new_figure(WIDTH, HEIGHT, constrained=True)


def draw_zoo(figure: "Figure", name: str, points: ZooPoints) -> "Figure":
    """Draw the figure `name` of `ZOO_PLOTS`. Raises `KeyError` for another name."""
    plots = {known: plot for known, plot, _ in ZOO_PLOTS}
    plots[name](figure.add_subplot(), points)
    return figure


def zoo_caption(caption: Caption, points: ZooPoints) -> Caption:
    """Returns `caption` with the numbers of models, layers and groups added."""
    number = count(len(points.layers), "linear layer")
    layers = f"{number} of {count(points.n_models, 'model')}"
    sizes = np.bincount(points.layers.group, minlength=len(points.looks))
    groups = ", ".join(f"{look.label} {n}" for look, n in zip(points.looks, sizes))
    text = f"{caption.description} {layers}{': ' if groups else ''}{groups}."
    return Caption(caption.title, text)
