"""Waits for what another process or thread does: on the event itself, with patience."""

import subprocess
import time
from typing import Any, Callable, Optional

# Seconds. A busy machine is slow; what never comes is still told apart from what comes late.
PATIENCE = 240.0


def wait_until(
    condition: Callable[[], Any],
    process: "Optional[subprocess.Popen[Any]]" = None,
    pause: float = 0.02,
) -> None:
    """Wait until `condition` holds; `process` must not end before it does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s"
        assert process is None or process.poll() is None or condition(), process.communicate()
        time.sleep(pause)
