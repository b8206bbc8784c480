"""The versions of all packages on which the numbers depend."""

import functools
import platform
from importlib import metadata
from typing import Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze.results.layer import ToolInfo


@functools.cache
def _installed(package: str) -> Optional[str]:
    """Returns the installed version without importing the package, or None if not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def tool_info() -> ToolInfo:
    """Returns the versions of this tool, Python and the libraries in use."""
    return ToolInfo(
        version=VERSION,
        python=platform.python_version(),
        torch=_installed("torch"),
        numpy=_installed("numpy") or "unknown",
        powerlaw=_installed("powerlaw"),
        allennlp=_installed("allennlp"),
    )
