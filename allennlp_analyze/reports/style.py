"""How every figure looks: colours, sizes, fonts, and how it is saved."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from allennlp_analyze.reports.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with every common colour vision.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
GREY, LIGHT_GREY, BLACK = "#767676", "#C8C8C8", "#000000"

VERDICT_COLOURS = {
    "full_rank": BLUE,
    "near_collapse": ORANGE,
    "collapsed": VERMILLION,
    "not_assessed": LIGHT_GREY,
}
KIND_MARKERS = {
    "linear": ("o", BLUE),
    "embedding": ("s", ORANGE),
    "recurrent": ("^", GREEN),
    "attention": ("D", VERMILLION),
    "bilinear": ("v", PURPLE),
    "convolution": ("P", SKY),
    "other": ("X", GREY),
}
ALPHA, RHO, SIGMA = "\u03b1", "\u03c1", "\u03c3"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DPI = 110
PARAMETERS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    # Names from archives must reach neither TeX nor the user's own settings for it.
    "text.usetex": False,
    "axes.formatter.use_mathtext": True,
    "svg.hashsalt": "allennlp-analyze",
}
# Without the dates the same numbers make the same file.
METADATA = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with `PARAMETERS`, and without a warning for each letter that the font lacks."""
    import matplotlib

    with matplotlib.rc_context(PARAMETERS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(width: float, height: float, constrained: bool = False) -> "Figure":
    """A figure of `width` x `height` inches that belongs to no window and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, constrained_layout=constrained)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: Path, fmt: str) -> Path:
    """Save `figure` as `path` in the format png, svg or pdf. Raises `OutputError`."""

    def write(file: BinaryIO) -> None:
        figure.savefig(file, format=fmt, metadata=METADATA[fmt])

    write_atomically(path, write)
    return path


def empty(ax: "Axes", text: str) -> "Axes":
    """Say in the middle of `ax` why there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)
    return ax


def wipe(ax: "Axes") -> None:
    """Take everything drawn off `ax` but keep its scales and ticks, which are slow to make."""
    for artist in [*ax.lines, *ax.patches, *ax.texts]:
        artist.remove()
    for side in ("left", "center", "right"):
        ax.set_title("", loc=side)
    ax.set_axis_on()


def legend_below(ax: "Axes", columns: int = 2, drop: float = 0.16) -> None:
    """A legend under the axis labels, where it covers no data; `drop` in heights of the axes."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -drop), ncol=columns)


def linear_ticks(ax: "Axes") -> None:
    """At most six ticks on each axis, powers of ten written once."""
    ax.locator_params(nbins=6)
    ax.ticklabel_format(style="sci", scilimits=(-2, 4))


def log_ticks(axis: "Axis", low: float, high: float) -> None:
    """Powers of ten over a wide range, plain numbers over a narrow one; no minor ticks."""
    from matplotlib.ticker import (
        FuncFormatter,
        LogLocator,
        MaxNLocator,
        NullLocator,
    )

    axis.set_minor_locator(NullLocator())
    if high > 300 * low:
        axis.set_major_locator(LogLocator(numticks=7))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
        return
    wide = high > 8 * low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=10) if wide else MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _power_of_ten(value: float) -> str:
    exponent = round(math.log10(value)) if value > 0 else 0
    return "10" + str(exponent).translate(SUPERSCRIPTS)
