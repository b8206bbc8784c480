"""The files under plots/: one figure per layer, four per model."""

from collections.abc import Iterator
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
TITLE_WIDTH = 90


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
    for old in [*figure.texts, *figure.legends]:
        old.remove()
    for ax in figure.axes:
        wipe(ax)
    left, right = figure.axes or figure.subplots(1, 2)
    plot_esd_linear(left, layer, legend=False)
    plot_esd_loglog(right, layer, legend=False)
    # Fixed margins: a layout engine would draw every figure twice.
    figure.subplots_adjust(left=0.07, right=0.985, top=0.83, bottom=0.255, wspace=0.18)
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncol=3)
    name = math_escaped(shorten(printable(layer.name), TITLE_WIDTH))
    facts = f"{layer.kind}, {layer.N} x {layer.M}, Q = {layer.Q:.4g}, {layer.verdict}"
    figure.text(0.07, 0.945, name, fontsize=11)
    figure.text(0.07, 0.895, facts, fontsize=9, color=GREY)
    return figure
