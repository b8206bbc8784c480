"""How every figure looks: colours, sizes, fonts, and how it is saved."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from allennlp_analyze.reports.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.backends.backend_agg import FigureCanvasAgg
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
ALPHA, RHO, SIGMA, TIMES = "\u03b1", "\u03c1", "\u03c3", "\u00d7"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DPI = 100
# Of flat areas, higher levels take twice the time for the same size.
PNG_COMPRESSION = 3
PARAMETERS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titley": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    # Names from archives must reach neither TeX nor the user's own settings for it.
    "text.usetex": False,
    "axes.formatter.use_mathtext": True,
    # Hinting every glyph anew takes a fifth of the drawing time.
    "text.hinting": "none",
    "svg.hashsalt": "allennlp-analyze",
}
# Without the dates the same numbers make the same file.
METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


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
    """Save `figure`, made by `new_figure`, as png, svg or pdf. Raises `OutputError`."""

    def write(file: BinaryIO) -> None:
        if fmt == "png":
            _write_png(figure, file)
        else:
            figure.savefig(file, format=fmt, metadata=METADATA[fmt])

    write_atomically(path, write)
    return path


def _write_png(figure: "Figure", file: BinaryIO) -> None:
    """As `Figure.savefig`, in two thirds of the time: that draws twice, and compresses harder."""
    from PIL import Image

    canvas = cast("FigureCanvasAgg", figure.canvas)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.save(file, "png", compress_level=PNG_COMPRESSION, dpi=(figure.dpi, figure.dpi))


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


def linear_ticks(axis: "Axis", high: float) -> None:
    """At most five ticks up to `high`: each takes a millisecond to draw."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(4, steps=(1, 2, 2.5, 5, 10)))
    _plain_labels(axis, high)


def log_ticks(axis: "Axis", low: float, high: float) -> None:
    """Powers of ten over a wide range, plain numbers over a narrow one; no minor ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_minor_locator(NullLocator())
    if high > 300 * low:
        axis.set_major_locator(LogLocator(numticks=5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
        return
    subs = (1, 3) if high > 30 * low else (1, 2, 5)
    wide = high > 8 * low
    axis.set_major_locator(LogLocator(subs=subs, numticks=10) if wide else MaxNLocator(4))
    _plain_labels(axis, high)


def _plain_labels(axis: "Axis", high: float) -> None:
    """Numbers up to `high`; a power of ten of large and small ones is written once, at the end.

    As matplotlib does by itself, but without mathtext, which takes a quarter of the drawing time.
    """
    from matplotlib.ticker import FuncFormatter

    exponent = math.floor(math.log10(high))
    unit = 1.0 if -2 < exponent < 4 else 10.0**exponent
    formatter = FuncFormatter(lambda value, _: f"{value / unit:.4g}")
    formatter.set_offset_string("" if unit == 1 else TIMES + _power_of_ten(unit))
    axis.set_major_formatter(formatter)


def _power_of_ten(value: float) -> str:
    exponent = round(math.log10(value)) if value > 0 else 0
    return "10" + str(exponent).translate(SUPERSCRIPTS)
