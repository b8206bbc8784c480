"""Finds the outcomes of an earlier run of a zoo that still hold."""

from collections.abc import Sequence
from pathlib import Path

from allennlp_analyze.reports.loader import REPORT
from allennlp_analyze.sources.download.cache import is_url
from allennlp_analyze.storage.states import first_change
from allennlp_analyze.zoo.outcome import read_outcome
from allennlp_analyze.zoo.results import FAILED, ModelOutcome
from allennlp_analyze.zoo.unit import Unit


def earlier_outcomes(units: Sequence[Unit], retry_failed: bool) -> dict[int, ModelOutcome]:
    """Returns the outcomes of an earlier run with the same request, by index.

    Without those that failed if they are to be retried, and those whose reports are damaged or were
    made from files that have changed since.
    """
    found = {}
    for index, unit in enumerate(units):
        outcome = read_outcome(unit.directory)
        if outcome is None or outcome.request != unit.digest:
            continue
        if retry_failed if outcome.status == FAILED else not _is_current(outcome, unit):
            continue
        found[index] = outcome
    return found


def _is_current(outcome: ModelOutcome, unit: Unit) -> bool:
    """Whether the reports are there and no file that they were made from has changed.

    Files that only the worker of a cluster sees cannot be compared.
    """
    for name, size in outcome.reports or ((REPORT, None),):
        path = unit.directory / name
        if not path.is_file() or size not in (None, path.stat().st_size):
            return False
    local = [state for state in outcome.files if not state.is_download]
    archive = unit.reading.archive
    is_seen = is_url(archive) or Path(archive).expanduser().exists()
    return not is_seen or first_change(local) is None
