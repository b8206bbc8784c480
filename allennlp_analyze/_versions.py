"""The versions of everything that the numbers depend on."""

import functools
import platform
from importlib import metadata
from typing import Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze.results.layer import ToolInfo


@functools.cache
def _installed(package: str) -> Optional[str]:
    """The installed version, without importing the package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def tool_info() -> ToolInfo:
    """Versions of this tool, Python and the libraries in use."""
    return ToolInfo(
        version=VERSION,
        python=platform.python_version(),
        torch=_installed("torch"),
        numpy=_installed("numpy") or "unknown",
        powerlaw=_installed("powerlaw"),
        allennlp=_installed("allennlp"),
    )
