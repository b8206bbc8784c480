"""Writes the files under plots/: a figure of each layer, and those of the whole model."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Optional, Union

from allennlp_analyze.reports.figures.density_plots import plot_esd_linear, plot_esd_loglog
from allennlp_analyze.reports.figures.file import Caption, drawn_figure
from allennlp_analyze.reports.figures.model import MODEL_PLOTS
from allennlp_analyze.reports.figures.singular_values import plot_singular_values
from allennlp_analyze.reports.figures.style import (
    GREY,
    LAMBDA,
    RHO,
    SIGMA_I,
    SMALL_SIZE,
    WIDTH,
    house_style,
    new_figure,
    wipe,
)
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.storage.files import make_directory, write_atomically
from allennlp_analyze.text.names import file_name, printable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The path of a figure, and the function that writes it.
Drawn = tuple[Path, Callable[[BinaryIO], None]]
FIGURES_PER_MODEL = len(MODEL_PLOTS)
# Limit on figures that are drawn but not yet written, a few megabytes each.
PENDING = 2
MODEL_HEIGHT = 4.3
# The fixed layout of a layer's figure in inches; automatic layout would draw it twice.
LAYER_HEIGHT = 5.3
LEFT, LEGEND_AT = 0.7, 2.99
LINEAR = (LEFT, 3.56, 2.75, 1.48)
LOGLOG = (4.33, 3.56, 2.75, 1.48)
VALUES = (LEFT, 0.48, 3.9, 1.72)
ROWS, ROW, COLUMN = 3, 0.165, LOGLOG[0] - LEFT
# The text in the last place of the legend, which no curve needs.
UNITS = f"{LAMBDA}, {RHO} and {SIGMA_I} are dimensionless, as the weights are"


def write_plots(
    report: ModelReport,
    directory: Union[str, Path],
    fmt: str = "png",
    progress: Optional[Callable[[], None]] = None,
) -> list[Path]:
    """Write every figure below `directory`/plots as `fmt` (png, svg or pdf); returns their paths.

    `directory` is the one with report.json. `progress` is called after each of the
    len(report.layers) + FIGURES_PER_MODEL figures. Raises `OutputError`.
    """
    plots = make_directory(Path(directory) / "plots")
    layers = make_directory(plots / "layers")
    written: list[Path] = []
    with house_style(), ThreadPoolExecutor(1) as writer:
        pending: deque[Future[Path]] = deque()

        def finish(left: int) -> None:
            while len(pending) > left:
                written.append(pending.popleft().result())
                if progress is not None:
                    progress()

        for path, write in chain(
            _layer_files(report, layers, fmt), _model_files(report, plots, fmt)
        ):
            pending.append(writer.submit(_written, path, write))
            finish(left=PENDING)
        finish(left=0)
    return written


def _written(path: Path, write: Callable[[BinaryIO], None]) -> Path:
    write_atomically(path, write)
    return path


def _layer_files(report: ModelReport, directory: Path, fmt: str) -> Iterator[Drawn]:
    figure = new_layer_figure()
    for index, layer in enumerate(report.layers):
        draw_layer(figure, layer)
        path = directory / file_name(index, layer.name, fmt)
        yield path, drawn_figure(figure, fmt, layer_caption(layer))


def _model_files(report: ModelReport, directory: Path, fmt: str) -> Iterator[Drawn]:
    for plot in MODEL_PLOTS:
        figure = draw_model(new_model_figure(), plot.name, report)
        yield directory / f"{plot.name}.{fmt}", drawn_figure(figure, fmt, plot.caption)


def new_model_figure() -> "Figure":
    """Returns an empty figure for `draw_model`."""
    return new_figure(WIDTH, MODEL_HEIGHT, constrained=True)


def draw_model(figure: "Figure", name: str, report: ModelReport) -> "Figure":
    """Draw the figure `name` of `MODEL_PLOTS`. Raises `KeyError` for another name."""
    plots = {plot.name: plot for plot in MODEL_PLOTS}
    plots[name].draw(figure.add_subplot(), report)
    return figure


def layer_caption(layer: LayerResult) -> Caption:
    """Returns the caption of the figure of `layer`, with its full name."""
    fit = layer.power_law
    law = f"power law alpha = {fit.alpha:.2f} from {fit.xmin:.3g} on" if fit else "no power law"
    return Caption(
        f"Spectrum of {printable(layer.name)}",
        f"{_facts(layer)}. The density of its {layer.M} eigenvalues on linear and on"
        " logarithmic axes, beside the Marchenko-Pastur law and the power law; its singular values"
        " against their index, beside the tolerances of the hard rank. Singular values from"
        f" {layer.min_singular_value:.3g} to {layer.max_singular_value:.3g}; {law}.",
    )


def _facts(layer: LayerResult) -> str:
    size = f"N x M = {layer.N} x {layer.M}, Q = N/M = {layer.Q:.4g}"
    return f"{layer.kind}, {size}, verdict {layer.verdict}"


def new_layer_figure() -> "Figure":
    """Returns an empty figure for `draw_layer`."""
    return new_figure(WIDTH, LAYER_HEIGHT)


def draw_layer(figure: "Figure", layer: LayerResult) -> "Figure":
    """Draw the spectrum of `layer` in `figure`, a new or used one of `new_layer_figure`.

    It shows the density of the eigenvalues on linear and logarithmic axes, and the singular values.
    """
    for old in [*figure.texts, *figure.artists]:
        old.remove()
    for ax in figure.axes:
        wipe(ax)
    linear, loglog, values = figure.axes or _three_axes(figure)
    plot_esd_linear(linear, layer, legend=False)
    plot_esd_loglog(loglog, layer, legend=False)
    plot_singular_values(values, layer)
    _draw_legend(figure, *linear.get_legend_handles_labels())
    units_at = LEGEND_AT - ROW * (ROWS - 1)
    _text(figure, LOGLOG[0], units_at, UNITS, fontsize=SMALL_SIZE, color=GREY, va="center_baseline")
    return figure


def _three_axes(figure: "Figure") -> Sequence["Axes"]:
    width, height = figure.get_size_inches()
    found = []
    for left, bottom, across, up in (LINEAR, LOGLOG, VALUES):
        ax = figure.add_axes((left / width, bottom / height, across / width, up / height))
        ax.xaxis.set_label_coords(0.5, -0.25 / up)
        ax.yaxis.set_label_coords(-0.52 / across, 0.5)
        found.append(ax)
    return found


def _draw_legend(figure: "Figure", artists: Sequence["Artist"], labels: Sequence[str]) -> None:
    """Draw columns of `ROWS` below the densities; `Figure.legend` would measure every text."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle

    width, height = figure.get_size_inches()
    for index, (artist, label) in enumerate(zip(artists, labels)):
        column, row = divmod(index, ROWS)
        left, middle = LEFT + COLUMN * column, LEGEND_AT - ROW * row
        start, end, y = left / width, (left + 0.24) / width, middle / height
        if isinstance(artist, Line2D):
            sample = Line2D((start, end), (y, y), color=artist.get_color())
            sample.set(linewidth=artist.get_linewidth(), linestyle=artist.get_linestyle())
            figure.add_artist(sample)
        elif isinstance(artist, Patch):
            corner, tall = (start, (middle - 0.045) / height), 0.09 / height
            figure.add_artist(Rectangle(corner, end - start, tall, fc=artist.get_facecolor()))
        _text(figure, left + 0.31, middle, label, fontsize=SMALL_SIZE, va="center_baseline")


def _text(figure: "Figure", x: float, y: float, text: str, **style: Any) -> None:
    """Write `text` at a position in inches from the lower left corner."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, **style)
