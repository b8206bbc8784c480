"""Ends a command with 3 where `--fail-on` says so, and names what failed on standard error."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from allennlp_analyze.text.lines import one_line

if TYPE_CHECKING:
    from allennlp_analyze.results.layer import ModelReport
    from allennlp_analyze.series.results import SeriesReport
    from allennlp_analyze.zoo.results import ZooReport

FAILED = 3
MAX_NAMED = 10


def gate(report: "ModelReport", fail_on: str) -> int:
    """Returns the exit code of one model: 3 if a layer fails, or the model."""
    from allennlp_analyze.results.failing import failures

    return name_failed(failures(report, fail_on), "layers")


def gate_of_zoo(report: "ZooReport", fail_on: str) -> int:
    """Returns the exit code of a zoo: 3 if the verdict on a model fails."""
    from allennlp_analyze.results.failing import fails

    found = [
        f"{model.name}: {one_line(model.outcome.summary.sentence)}"
        for model in report.models
        if model.checkpoint_of is None
        and model.outcome.summary is not None
        and fails(model.outcome.summary.verdict, fail_on)
    ]
    return name_failed(found, "models")


def gate_of_series(report: "SeriesReport", fail_on: str) -> int:
    """Returns the exit code of a series: 3 if a layer fails at the last checkpoint, or the model.

    A layer that was so from the first checkpoint on fails, too.
    """
    from allennlp_analyze.results.failing import fails
    from allennlp_analyze.series.wording import trouble

    found = [
        f"{track.layer}: {trouble(track, report)}"
        for track in report.went_wrong
        if fails(track.last.verdict, fail_on)
    ]
    last = report.last
    if not found and last is not None and last.verdict and fails(last.verdict, fail_on):
        found = [f"{last.label}: {one_line(last.sentence)}"]
    return name_failed(found, "layers")


def name_failed(lines: Sequence[str], what: str) -> int:
    """Print the first lines to standard error; returns 3 if there are any, else 0."""
    for line in lines[:MAX_NAMED]:
        print(f"failed: {one_line(line)}", file=sys.stderr)
    if len(lines) > MAX_NAMED:
        print(f"failed: {len(lines) - MAX_NAMED} more {what}", file=sys.stderr)
    return FAILED if lines else 0
