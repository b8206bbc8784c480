"""Which figures to draw, from the options `plots` and `plot_format`."""

from typing import Optional

from allennlp_analyze.errors import OptionError
from allennlp_analyze.options.names import PLOT_FORMATS


def figure_format(plots: Optional[bool], plot_format: Optional[str]) -> Optional[str]:
    """Returns the format of the figures, or None if none are to be drawn.

    Without `plots` (None), a format says that they are. Raises `OptionError` for a format of
    figures that are not to be drawn.
    """
    if plots is False and plot_format is not None:
        raise OptionError(
            "plot_format", "plots are switched off, so nothing is drawn; omit one of the two"
        )
    return (plot_format or PLOT_FORMATS[0]) if plots or plot_format else None
