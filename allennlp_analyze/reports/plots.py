"""The files under plots/: one figure per layer, four per model."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional, Union

from allennlp_analyze.reports.atomic import make_directory
from allennlp_analyze.reports.esd_plots import plot_esd_linear, plot_esd_loglog
from allennlp_analyze.reports.model_plots import (
    plot_alpha,
    plot_min_singular_values,
    plot_q_alpha,
    plot_rank_loss,
)
from allennlp_analyze.reports.names import file_name, math_escaped, printable, shorten
from allennlp_analyze.reports.style import GREY, house_style, new_figure, save_figure, wipe
from allennlp_analyze.results import LayerResult, ModelReport

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_alpha",
    "plot_esd_linear",
    "plot_esd_loglog",
    "plot_min_singular_values",
    "plot_q_alpha",
    "plot_rank_loss",
    "write_plots",
]
MODEL_PLOTS = (
    ("min_singular_values", plot_min_singular_values),
    ("alpha", plot_alpha),
    ("q_alpha", plot_q_alpha),
    ("rank_loss", plot_rank_loss),
)
FIGURES_PER_MODEL = len(MODEL_PLOTS)
TITLE_WIDTH = 72
# Where the layers' axes, texts and legends begin, in widths of the figure.
LEFT = 0.07


def write_plots(
    report: ModelReport,
    directory: Union[str, Path],
    fmt: str = "png",
    progress: Optional[Callable[[], None]] = None,
) -> list[Path]:
    """Write every figure below `directory`/plots as `fmt`: png, svg or pdf; their paths.

    `directory` is the one that holds report.json. `progress` is called after each of the
    len(report.layers) + 4 figures. Raises `OutputError`.
    """
    plots = make_directory(Path(directory) / "plots")
    layers = make_directory(plots / "layers")
    written = []
    with house_style():
        for path in chain(_layer_files(report, layers, fmt), _model_files(report, plots, fmt)):
            written.append(path)
            if progress is not None:
                progress()
    return written


def _layer_files(report: ModelReport, directory: Path, fmt: str) -> Iterator[Path]:
    figure = new_figure(10, 4.4)
    for index, layer in enumerate(report.layers):
        draw_layer(figure, layer)
        yield save_figure(figure, directory / file_name(index, layer.name, fmt), fmt)


def _model_files(report: ModelReport, directory: Path, fmt: str) -> Iterator[Path]:
    for name, plot in MODEL_PLOTS:
        figure = new_figure(7.5, 4.6, constrained=True)
        plot(figure.add_subplot(), report)
        yield save_figure(figure, directory / f"{name}.{fmt}", fmt)


def draw_layer(figure: "Figure", layer: LayerResult) -> "Figure":
    """Draw the spectrum of `layer` twice in `figure`: empty, or used for another layer before."""
    for old in [*figure.texts, *figure.artists]:
        old.remove()
    for ax in figure.axes:
        wipe(ax)
    left, right = figure.axes or _two_axes(figure)
    plot_esd_linear(left, layer, legend=False)
    plot_esd_loglog(right, layer, legend=False)
    _draw_legend(figure, *left.get_legend_handles_labels())
    name = math_escaped(shorten(printable(layer.name), TITLE_WIDTH))
    facts = f"{layer.kind}, {layer.N} x {layer.M}, Q = {layer.Q:.4g}, {layer.verdict}"
    figure.text(LEFT, 0.945, name, fontsize=11)
    figure.text(LEFT, 0.895, facts, fontsize=9, color=GREY)
    return figure


def _two_axes(figure: "Figure") -> Sequence["Axes"]:
    """Side by side, everything at a fixed place: fitting the tick labels draws them twice."""
    axes: Sequence[Axes] = figure.subplots(1, 2)
    figure.subplots_adjust(left=LEFT, right=0.985, top=0.83, bottom=0.255, wspace=0.18)
    for ax in axes:
        ax.xaxis.set_label_coords(0.5, -0.115)
        ax.yaxis.set_label_coords(-0.115, 0.5)
    return axes


def _draw_legend(figure: "Figure", artists: Sequence["Artist"], labels: Sequence[str]) -> None:
    """Columns of two below the axes. A `Figure.legend` would measure every text several times."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle

    width, half_height = 0.022, 0.01
    for index, (artist, label) in enumerate(zip(artists, labels)):
        column, row = divmod(index, 2)
        x, y = LEFT + 0.31 * column, 0.085 - 0.045 * row
        if isinstance(artist, Line2D):
            sample = Line2D((x, x + width), (y, y), color=artist.get_color())
            sample.set(linewidth=artist.get_linewidth(), linestyle=artist.get_linestyle())
            figure.add_artist(sample)
        elif isinstance(artist, Patch):
            colour = artist.get_facecolor()
            figure.add_artist(Rectangle((x, y - half_height), width, 2 * half_height, fc=colour))
        figure.text(x + 0.03, y, label, fontsize=8, va="center_baseline")
