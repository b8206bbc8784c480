"""Is this network healthy, layer by layer? Spectra, ranks and power laws of trained weights."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from allennlp_analyze.version import VERSION as __version__

if TYPE_CHECKING:
    from allennlp_analyze.api import analyze, load
    from allennlp_analyze.monitor import RankMonitor
    from allennlp_analyze.objects import Layer, Report

__all__ = ["Layer", "RankMonitor", "Report", "__version__", "analyze", "load"]
# Imported when asked for: numpy and the readers take longer than --help may take.
_HOMES = {
    "Layer": "allennlp_analyze.objects",
    "RankMonitor": "allennlp_analyze.monitor",
    "Report": "allennlp_analyze.objects",
    "analyze": "allennlp_analyze.api",
    "load": "allennlp_analyze.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
