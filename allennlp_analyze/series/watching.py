"""Waits for new checkpoints of a training, and analyzes each as soon as it is complete."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from allennlp_analyze.errors import UsageError
from allennlp_analyze.series.finding import Found, find_series
from allennlp_analyze.series.run import SeriesOutcome, SeriesRequest, analyze_found
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.download.cache import is_url

# (size, time of the last change) of each file of a checkpoint.
States = tuple[tuple[str, int, int], ...]


def watch_series(
    series: SeriesRequest,
    settings: Settings,
    interval: float,
) -> Iterator[SeriesOutcome]:
    """Yields the series each time that checkpoints are new or have changed; never ends.

    A checkpoint is taken once none of its files has changed for `interval` seconds: a trainer may
    still be writing it. `force` counts for the first time only. Raises what `run_series` raises,
    but waits if there are no checkpoints yet.
    """
    seen: dict[str, States] = {}
    done: dict[str, States] = {}
    request = series
    failed = True  # the first search must succeed
    while True:
        try:
            found, failed = _found(series.paths), False
        except UsageError:
            # A trainer may be removing a directory, or renaming one, just now.
            if failed:
                raise
            failed = True
            time.sleep(interval)
            continue
        now = {x.archive: _states(x.archive) for x in found.checkpoints}
        ready = [
            x for x in found.checkpoints if now[x.archive] and seen.get(x.archive) == now[x.archive]
        ]
        if any(done.get(x.archive) != now[x.archive] for x in ready):
            yield analyze_found(replace(found, checkpoints=tuple(ready)), request, settings)
            request = replace(series, force=False)
            done = {x.archive: now[x.archive] for x in ready}
        seen = now
        time.sleep(interval)


def _found(paths: Sequence[str]) -> Found:
    if len(paths) == 1 and not os.path.isdir(os.path.expanduser(paths[0])):
        raise UsageError(f"{paths[0]}: no such directory to watch")
    return find_series(paths)


def _states(archive: str) -> States:
    """Returns the states of all files of a checkpoint, () if it has just been removed."""
    if is_url(archive):
        return ((archive, 0, 0),)
    path = Path(os.path.expanduser(archive))
    files = sorted(x for x in path.rglob("*") if x.is_file()) if path.is_dir() else [path]
    states = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            return ()
        states.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(states)
