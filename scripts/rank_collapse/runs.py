"""Reads the results of the rank-collapse experiment from a JSON file.

The file contains {"runs": [{"l2": 0.001, "collapsed": true}, ...]}: for every trained network its
L2 penalty, a number >= 0, and whether a hidden fully connected layer collapsed. A run with
"diverged": true ended early with NaN or infinity; its layers say nothing about the penalty, so it
is ignored. Other keys are ignored, too.
"""

import json
import math
from pathlib import Path
from typing import Any, Optional

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.zoo.claims import CollapseRun


def read_runs(path: Path) -> tuple[CollapseRun, ...]:
    """The runs that did not diverge.

    Raises `UsageError` when there is no such file, `SourceError` for one of another form.
    """
    try:
        contents: Any = json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"--rank-collapse: {path}: no such file") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError):
        raise SourceError(f"{path}: is not valid JSON") from None
    runs = contents.get("runs") if isinstance(contents, dict) else None
    if not isinstance(runs, list):
        raise SourceError(f"{path}: contains no list of runs under 'runs'")
    read = [_run(f"{path}: run {number}", run) for number, run in enumerate(runs, start=1)]
    return tuple(run for run in read if run is not None)


def _run(place: str, run: Any) -> Optional[CollapseRun]:
    """None for one that diverged."""
    if not isinstance(run, dict) or not isinstance(run.get("collapsed"), bool):
        raise SourceError(f"{place}: 'collapsed' must be true or false")
    l2 = run.get("l2")
    if isinstance(l2, bool) or not isinstance(l2, (int, float)) or not 0 <= l2 < math.inf:
        raise SourceError(f"{place}: 'l2' must be a number >= 0")
    diverged = run.get("diverged", False)
    if not isinstance(diverged, bool):
        raise SourceError(f"{place}: 'diverged' must be true or false")
    return None if diverged else CollapseRun(l2=float(l2), collapsed=run["collapsed"])
