"""Keeps the checkpoints that a trainer has deleted since they were analyzed."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

from allennlp_analyze.series.finding import Checkpoint, Found, in_order
from allennlp_analyze.series.reports.json import SERIES
from allennlp_analyze.zoo.outcome import read_outcome
from allennlp_analyze.zoo.results import DONE

_DAMAGE = (OSError, ValueError, LookupError, TypeError, RecursionError)


def removed_since(root: Path, found: Found) -> tuple[Checkpoint, ...]:
    """Returns the checkpoints of the series in `root` that were analyzed and are gone now.

    Only those of the same directory of a training: a trainer that keeps the last few deletes the
    others. None if there is no series, or a damaged one.
    """
    if not found.is_directory:
        return ()
    try:
        contents = json.loads((root / SERIES).read_text(encoding="utf-8"))
        if contents["title"] != found.title:
            return ()
        return tuple(
            checkpoint
            for checkpoint in (_removed(root, one) for one in contents["checkpoints"])
            if checkpoint is not None
        )
    except _DAMAGE:
        return ()


def with_removed(found: Found, removed: Sequence[Checkpoint]) -> Found:
    """Returns `found` with `removed` in their places."""
    known = {checkpoint.label for checkpoint in found.checkpoints}
    more = [checkpoint for checkpoint in removed if checkpoint.label not in known]
    if not more:  # those that were given keep their order
        return found
    return replace(found, checkpoints=in_order((*more, *found.checkpoints)))


def _removed(root: Path, one: "dict[str, object]") -> Optional[Checkpoint]:
    archive, label = str(one["archive"]), str(one["label"])
    directory = (root / str(one["directory"])).resolve()
    if os.path.exists(archive) or root.resolve() not in directory.parents:
        return None
    outcome = read_outcome(directory)
    if outcome is None or outcome.status != DONE:
        return None
    epoch, step = one["epoch"], one["step"]
    return Checkpoint(
        archive,
        label,
        epoch if isinstance(epoch, int) else None,
        step if isinstance(step, int) else None,
    )
