"""The running time of this process."""

import os
import time
from pathlib import Path

_IMPORTED = time.perf_counter()
_START_TIME = 19  # among the fields of /proc/self/stat behind the command's name


def process_seconds() -> float:
    """Seconds since the process started, or since this module's import if that is unknown."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = float(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0.0)
    except (OSError, ValueError, IndexError, AttributeError):
        return time.perf_counter() - _IMPORTED
