"""Is this network healthy, layer by layer? Spectra, ranks and power laws of trained weights."""

from typing import TYPE_CHECKING

from allennlp_analyze._lazy import lazily
from allennlp_analyze._version import VERSION as __version__

if TYPE_CHECKING:
    from allennlp_analyze.api import analyze, load
    from allennlp_analyze.monitor.monitor import RankMonitor
    from allennlp_analyze.report import Layer, Report

__all__ = ["Layer", "RankMonitor", "Report", "__version__", "analyze", "load"]
# Imported on first use: importing numpy and the readers would slow down --help.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "Layer": "allennlp_analyze.report",
        "RankMonitor": "allennlp_analyze.monitor.monitor",
        "Report": "allennlp_analyze.report",
        "analyze": "allennlp_analyze.api",
        "load": "allennlp_analyze.api",
    },
)
