"""Remembers what a trial has found out about this machine, beside the download cache."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable

from allennlp_analyze._versions import tool_info
from allennlp_analyze.errors import OutputError
from allennlp_analyze.linalg.backend import backend
from allennlp_analyze.linalg.machine import processor, this_machine
from allennlp_analyze.sources.download.cache import cache_directory
from allennlp_analyze.storage.files import make_directory, write_text
from allennlp_analyze.storage.locks import LockTaken, locked

REMEMBERED = "allennlp-analyze-speed.json"
# A process waits so long for others that write; it takes them milliseconds.
PATIENCE_SECONDS = 2.0


def remembered(
    what: Sequence[object], known: Callable[[object], bool], find: Callable[[], Any]
) -> Any:
    """Returns what `find` has found of `what`, both in JSON types; `known` checks it.

    It is found again once a package, the processor or the number of cores changes. Of processes
    that find it at the same time, all use what the first one has found.
    """
    path = cache_directory().parent / REMEMBERED
    facts = {
        "tool": asdict(tool_info()),
        "cores": this_machine().cores,
        "processor": processor(),
        "blas": backend(),
    }
    key = json.dumps([facts, *what], sort_keys=True)
    before = _all(path).get(key)
    if known(before):
        return before
    found = find()
    with contextlib.suppress(OSError, OutputError):
        make_directory(path.parent)
        with _alone(path):
            others = _all(path)
            if known(others.get(key)):
                return others[key]
            write_text(path, json.dumps({**others, key: found}))
    return found


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lock the file `path` against other processes, or wait for them no longer than patience."""
    end = time.monotonic() + PATIENCE_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(path.with_name(f".{path.name}.lock")))
                break
            except LockTaken:
                if time.monotonic() > end:
                    break
                time.sleep(0.01)
        yield


def _all(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        known = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return known
    return {}
