"""Is this network healthy, layer by layer? Spectra, ranks and power laws of trained weights."""

from allennlp_analyze.version import VERSION as __version__

__all__ = ["__version__"]
