"""Runs a series: analyzes what is new of its checkpoints, and reports the training as one."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.choosing import require_eigensolver
from allennlp_analyze.analysis.request import Building, Limits, default_directory
from allennlp_analyze.engine.running import EngineLost
from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.options.choices import check_fields, default
from allennlp_analyze.reports.json import plain
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.series.finding import Checkpoint, Found, find_series
from allennlp_analyze.series.removed import removed_since, with_removed
from allennlp_analyze.series.reports.html import write_series_html
from allennlp_analyze.series.reports.json import SERIES, write_series_json
from allennlp_analyze.series.results import SeriesCheckpoint, SeriesReport
from allennlp_analyze.series.tracking import Measured, measured, tracks_of
from allennlp_analyze.settings import Settings
from allennlp_analyze.storage.files import check_directory
from allennlp_analyze.storage.locks import LOCK
from allennlp_analyze.text.redaction import redacted_in, redacted_url
from allennlp_analyze.zoo.earlier import earlier_outcomes
from allennlp_analyze.zoo.manifest.entries import ZooEntry
from allennlp_analyze.zoo.manifest.names import slugs
from allennlp_analyze.zoo.manifest.options import Choices
from allennlp_analyze.zoo.outcome import read_outcome
from allennlp_analyze.zoo.results import DONE, ModelOutcome
from allennlp_analyze.zoo.unit import Unit, make_unit
from allennlp_analyze.zoo.work import RUNNING, analyze_units, engine_for, only_run_of, stopped

AGAIN = "; run the same command to continue"
PAGE, CHECKPOINTS = "series.html", "checkpoints"


@dataclass(frozen=True)
class SeriesRequest:
    """Which checkpoints to analyze and where to write.

    `paths` are the argument of `find_series`. Checkpoints that were analyzed before and have not
    changed are kept unless `force` is set. `key` picks one of several state dicts in a file.
    `workers` None means one process per core. Raises `UsageError` for invalid options.
    """

    paths: tuple[str, ...]
    directory: Path
    key: Optional[str] = default("key")
    force: bool = default("force")
    workers: Optional[int] = default("workers")
    limits: Limits = field(default_factory=Limits)
    building: Building = field(default_factory=Building)
    quiet: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class SeriesOutcome:
    """The report, the paths that were written, and the checkpoints that were not known before."""

    report: SeriesReport
    written: tuple[Path, ...]
    new: tuple[int, ...] = ()


def series_directory(paths: Sequence[str]) -> Path:
    """Returns the default output directory of a series."""
    name = default_directory(paths[0]).name
    return (
        Path("analysis") / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name).strip('._-') or 'run'}-series"
    )


def run_series(series: SeriesRequest, settings: Settings) -> SeriesOutcome:
    """Analyze every checkpoint that is new or has changed, and write the reports of the series.

    A checkpoint that cannot be analyzed is recorded, and the others continue. Raises `UsageError`
    if there is none (see `find_series`), `OutputError` if the directory cannot be written. A
    `KeyboardInterrupt` says what is kept.
    """
    found = find_series(series.paths)
    if not found.checkpoints:
        raise UsageError(
            f"{found.title}: no checkpoints with numbers in their names; name several, in order"
        )
    return analyze_found(found, series, settings)


def analyze_found(found: Found, series: SeriesRequest, settings: Settings) -> SeriesOutcome:
    """`run_series` for checkpoints that are found already."""
    started = time.perf_counter()
    require_eigensolver(settings)
    root = series.directory
    check_directory(root, (SERIES, PAGE, RUNNING, LOCK), (CHECKPOINTS,))
    kept_ones = () if series.force else removed_since(root, found)
    found = with_removed(found, kept_ones)
    units = _units(found.checkpoints, series, settings)
    engine = engine_for(series.workers, None, len(units))
    with only_run_of(root) as token:
        outcomes = {} if series.force else earlier_outcomes(units, retry_failed=False)
        outcomes.update(_of_removed(units, kept_ones))
        new = tuple(index for index in range(len(units)) if index not in outcomes)
        try:
            analyze_units(units, outcomes, token, engine, series.quiet, "checkpoint")
        except (KeyboardInterrupt, EngineLost) as stop:
            kept = stopped(stop, root, len(outcomes), len(units), "checkpoint", AGAIN)
            raise kept from None
        report = _report(found, units, outcomes, settings, time.perf_counter() - started)
        return SeriesOutcome(report, tuple(_write(report, root)), new)


def _of_removed(units: Sequence[Unit], removed: Sequence[Checkpoint]) -> dict[int, ModelOutcome]:
    """Returns the outcomes of checkpoints that a trainer has deleted since."""
    archives = {checkpoint.archive for checkpoint in removed}
    found = {
        index: read_outcome(unit.directory)
        for index, unit in enumerate(units)
        if unit.reading.archive in archives
    }
    return {index: outcome for index, outcome in found.items() if outcome is not None}


def _units(
    checkpoints: Sequence[Checkpoint], series: SeriesRequest, settings: Settings
) -> list[Unit]:
    choices = Choices(settings, series.limits, series.building, key=series.key, plots=False)
    entries = [ZooEntry(x.label, x.archive) for x in checkpoints]
    directory = series.directory.absolute() / CHECKPOINTS
    return [
        make_unit(entry, choices, directory / name, resume=not series.force)
        for entry, name in zip(entries, slugs(entries))
    ]


def _report(
    found: Found,
    units: Sequence[Unit],
    outcomes: Mapping[int, ModelOutcome],
    settings: Settings,
    seconds: float,
) -> SeriesReport:
    checkpoints, layers = [], list[Optional[Mapping[str, Measured]]]()
    for index, (checkpoint, unit) in enumerate(zip(found.checkpoints, units)):
        outcome, reason = outcomes[index], outcomes[index].reason
        of = None
        if outcome.status == DONE:
            try:
                of = {x.name: measured(x) for x in load_report(unit.directory).layers}
            except SourceError as error:  # it was changed by someone else in the meantime
                reason = str(error)
        layers.append(of)
        checkpoints.append(_checkpoint(checkpoint, unit, outcome, reason, of is not None))
    return SeriesReport(
        tool=tool_info(),
        title=redacted_url(found.title),
        settings=redacted_in(plain(settings)),
        checkpoints=tuple(checkpoints),
        tracks=tracks_of(layers),
        left_out=found.left_out,
        seconds=seconds,
    )


def _checkpoint(
    checkpoint: Checkpoint, unit: Unit, outcome: ModelOutcome, reason: Optional[str], done: bool
) -> SeriesCheckpoint:
    summary = outcome.summary if done else None
    return SeriesCheckpoint(
        label=checkpoint.label,
        archive=redacted_url(checkpoint.archive),
        epoch=checkpoint.epoch,
        step=checkpoint.step,
        directory=f"{CHECKPOINTS}/{unit.directory.name}",
        verdict=summary.verdict if summary else None,
        sentence=summary.sentence if summary else "",
        reason=None if done else reason,
        seconds=outcome.seconds,
    )


def _write(report: SeriesReport, root: Path) -> Iterator[Path]:
    write_series_json(report, root / SERIES)
    yield root / SERIES
    yield write_series_html(report, root / PAGE)
