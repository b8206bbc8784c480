"""Loads the models to compare: reads reports, and analyzes archives first."""

from collections.abc import Sequence
from typing import Optional

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Limits, Reading
from allennlp_analyze.compare.compare import restricted
from allennlp_analyze.compare.results import ComparedModel
from allennlp_analyze.errors import Advice, SourceError, UsageError
from allennlp_analyze.reports.loader import REPORT, load_report
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.download.cache import fetch, is_url
from allennlp_analyze.sources.formats.sharded import is_index
from allennlp_analyze.text.redaction import redacted_url


def compared_models(
    names: Sequence[str],
    settings: Settings,
    limits: Limits,
    quiet: bool = True,
    needs_weights: bool = False,
) -> list[ComparedModel]:
    """Returns a report for each of `names`, with only the layers that `settings` select.

    A name is the output directory of an analysis, its report.json, or anything that
    `analyze_archive` opens. An archive is analyzed with `settings` and within `limits`, only once
    if it is given twice. Reports are read, and paths are checked, before any analysis starts;
    a report is refused if the comparison `needs_weights`. Raises `UsageError` or `SourceError`.
    """
    reports = {name: _stored_report(name) for name in dict.fromkeys(names)}
    for name, report in reports.items():
        if report is not None and needs_weights:
            raise UsageError(
                f"{name}: is a report, which has no weights",
                Advice("delta", "{} needs the archives", switch=True),
            )
    found = {}
    for name, report in reports.items():
        if report is None:
            reading = Reading(name, limits=limits)
            report = analyze_archive(reading, settings, quiet=quiet)
        found[name] = restricted(ComparedModel(redacted_url(name), report), settings)
    return [found[name] for name in names]


def _stored_report(name: str) -> Optional[ModelReport]:
    """Returns the report at `name`, or None if it must be analyzed."""
    if is_url(name):
        return None
    path = fetch(name, quiet=True)  # a local path, so nothing is downloaded
    if path.name == REPORT or (path / REPORT).is_file():
        return load_report(path)
    if path.is_file() and path.suffix == ".json" and not is_index(name):
        raise SourceError(
            f"{name}: a report must be named {REPORT}, with singular_values.npz beside it"
        )
    return None
