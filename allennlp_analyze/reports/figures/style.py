"""The style of all figures: colours, sizes, fonts, lines and axis labels."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from allennlp_analyze.results.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito (2008): distinguishable with every common type of colour vision.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
GREY, LIGHT_GREY, BLACK, WHITE = "#767676", "#949494", "#000000", "#FFFFFF"

# Purple and grey that differ from the others as areas, too.
DARK_PURPLE, DARK_GREY = "#AA3377", "#444444"

VERDICT_COLOURS = {
    Verdict.FULL_RANK: BLUE,
    Verdict.DEAD_UNITS: DARK_PURPLE,
    Verdict.NEAR_COLLAPSE: ORANGE,
    Verdict.COLLAPSED: VERMILLION,
    Verdict.HIDDEN: DARK_GREY,
    Verdict.NOT_ASSESSED: LIGHT_GREY,
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
# The groups of a zoo, in this order: marks, and bars of the same colour. All others are GREY.
GROUP_LOOKS = (
    ("o", BLUE),
    ("s", ORANGE),
    ("^", GREEN),
    ("D", VERMILLION),
    ("v", PURPLE),
    ("P", SKY),
    ("*", BLACK),
)
# The tolerances of the hard rank: lines, and bars of the same colour.
TOLERANCE_STYLES = {
    "numpy": (VERMILLION, "--"),
    "numerical_recipes": (PURPLE, "-."),
    "loose": (SKY, (0, (6, 2))),
    "rounding": (ORANGE, (0, (4, 1.5, 1, 1.5, 1, 1.5))),
}
# Unicode letters instead of formulas: typesetting formulas takes half of the drawing time, and text
# can be searched and copied.
ALPHA, GAMMA, LAMBDA, RHO = "α", "\u03b3", "λ", "ρ"
SIGMA_I, SIGMA_MIN = "σᵢ", "σₘᵢₙ"
LAMBDA_MINUS, LAMBDA_PLUS = "λ₋", "λ₊"
ROOT, TIMES = "√", "\u00d7"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Weights have no unit, and neither has anything computed from them.
NO_UNIT = "(dimensionless)"
# The text width of a two-column paper, so that figures are not scaled down there; 1440 pixels.
WIDTH = 7.2
DPI = 200
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE, TINY_SIZE = 10, 9, 8, 7
PARAMETERS = {
    "font.size": TEXT_SIZE,
    "axes.titlesize": TITLE_SIZE,
    "axes.titley": 1.0,
    "axes.labelsize": TEXT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.frameon": False,
    "legend.fontsize": SMALL_SIZE,
    # Hinting every glyph takes a fifth of the drawing time.
    "text.hinting": "none",
    # Names from archives must not reach TeX.
    "text.usetex": False,
    # Keep text as text, so that it can be searched, copied and read aloud; publishers accept
    # TrueType.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "allennlp-analyze",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with matplotlib's defaults and `PARAMETERS`, independent of the user's settings.

    Warnings about letters that the font lacks are hidden.
    """
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(PARAMETERS)
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(width: float, height: float, constrained: bool = False) -> "Figure":
    """Returns a figure of `width` x `height` inches without a window or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, constrained_layout=constrained)
    FigureCanvasAgg(figure)
    return figure


def empty(ax: "Axes", text: str) -> "Axes":
    """Write in the middle of `ax` why there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)
    return ax


def wipe(ax: "Axes") -> None:
    """Remove everything drawn from `ax` except its scales and ticks, which are slow to create."""
    for artist in [*ax.lines, *ax.patches, *ax.texts]:
        artist.remove()
    for side in ("left", "center", "right"):
        ax.set_title("", loc=side)
    ax.set_axis_on()


def line(ax: "Axes", x: Any, y: Any, **style: Any) -> None:
    """Like `Axes.plot` in half the time: it does not update the limits, which are set anyway."""
    from matplotlib.lines import Line2D

    ax.add_artist(Line2D(x, y, **style))


def note(ax: "Axes", text: str) -> None:
    """Write above `ax`, on the right, what it does not show."""
    ax.set_title(text, loc="right", fontsize=SMALL_SIZE)


def legend_below(
    ax: "Axes", columns: int = 2, drop: float = 0.16, right: bool = False, enlarged: float = 1.0
) -> None:
    """Draw a legend below the axis labels, where it covers no data; `drop` is in axes heights.

    It is centered, or with `right` aligned to the right end of the axes. Marks are `enlarged` times
    as wide as in the axes.
    """
    if ax.get_legend_handles_labels()[0]:
        place = ("upper right", (1.0, -drop)) if right else ("upper center", (0.5, -drop))
        ax.legend(loc=place[0], bbox_to_anchor=place[1], ncol=columns, markerscale=enlarged)


def linear_ticks(axis: "Axis", high: float) -> None:
    """Set at most four ticks up to `high`, because each takes a millisecond to draw."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(3, steps=(1, 2, 2.5, 5, 10)))
    _plain_labels(axis, high)


def log_ticks(axis: "Axis", low: float, high: float) -> None:
    """Set powers of ten for a wide range, plain numbers for a narrow one; no minor ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_minor_locator(NullLocator())
    if high > 300 * low:
        axis.set_major_locator(LogLocator(numticks=4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
        return
    subs = (1, 3) if high > 30 * low else (1, 2, 5)
    wide = high > 8 * low
    axis.set_major_locator(LogLocator(subs=subs, numticks=10) if wide else MaxNLocator(4))
    _plain_labels(axis, high)


def count_ticks(axis: "Axis") -> None:
    """Use whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(5, integer=True))


def index_ticks(axis: "Axis", last: int) -> None:
    """Use whole numbers from 1 to `last`."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    places = MaxNLocator(3, integer=True, steps=(1, 2, 5, 10)).tick_values(1, last)
    axis.set_major_locator(FixedLocator([1, *(place for place in places if 1 < place <= last)]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _plain_labels(axis: "Axis", high: float) -> None:
    """Label numbers up to `high`; a common power of ten is written once, at the end.

    matplotlib does the same, but with mathtext, which takes a quarter of the drawing time.
    """
    from matplotlib.ticker import FuncFormatter

    exponent = math.floor(math.log10(high))
    # Below 1e-300 a number over its power of ten may be beyond the range of float64.
    unit = 1.0 if -2 < exponent < 4 or exponent < -300 else 10.0**exponent
    formatter = FuncFormatter(lambda value, _: f"{value / unit:.4g}")
    formatter.set_offset_string("" if unit == 1 else TIMES + _power_of_ten(unit))
    axis.set_major_formatter(formatter)


def _power_of_ten(value: float) -> str:
    exponent = round(math.log10(value)) if value > 0 else 0
    return "10" + str(exponent).translate(SUPERSCRIPTS)
