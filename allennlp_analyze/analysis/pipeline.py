"""Runs the analysis of one archive: opens it, finds and measures its matrices, writes reports."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional, Union

from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.across import follow_dead_units
from allennlp_analyze.analysis.adapters import measure_adapters
from allennlp_analyze.analysis.ahead import asked_for, expect
from allennlp_analyze.analysis.attention import timed_logits
from allennlp_analyze.analysis.base_adapters import beside_base
from allennlp_analyze.analysis.base_model import relative_to_base
from allennlp_analyze.analysis.build import build_model
from allennlp_analyze.analysis.choosing import require_eigensolver, with_eigensolver
from allennlp_analyze.analysis.cluster import Cluster
from allennlp_analyze.analysis.facts import run_facts
from allennlp_analyze.analysis.journal import Journal, interrupted_run, open_journal
from allennlp_analyze.analysis.measure import Analysis, Elsewhere, analyze
from allennlp_analyze.analysis.opened import matrices_of, opened
from allennlp_analyze.analysis.refusing import refuse_nothing, refused
from allennlp_analyze.analysis.request import Building, Reading, Writing
from allennlp_analyze.analysis.summary import other_findings, summarize
from allennlp_analyze.analysis.uncertain import notes_on_alpha
from allennlp_analyze.analysis.writing import (
    Outcome,
    check_output,
    refuse_report,
    stopped,
    what_is_kept,
    write_reports,
)
from allennlp_analyze.engine.running import EngineLost, EngineUnusable
from allennlp_analyze.errors import CheckpointError, SourceError, UnreachableError
from allennlp_analyze.linalg.cuda import cuda_spectrum
from allennlp_analyze.linalg.eigensolvers import gram_solver
from allennlp_analyze.linalg.gram import GramSolver
from allennlp_analyze.linalg.speed import Speed
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import ModuleTable, table_from_model
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.matrices.vectors import with_invalid_vectors
from allennlp_analyze.reference.comparison import beside_reference
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.reports.json import plain
from allennlp_analyze.results.layer import LayerOutcome, ModelReport, SourceInfo, Timing
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.source import Source
from allennlp_analyze.storage.states import first_write, state_of
from allennlp_analyze.text.progress import progress_by_cost
from allennlp_analyze.text.redaction import redacted_in

KeepJournal = Callable[[Mapping[str, Any]], Journal]


def run(
    reading: Reading,
    writing: Writing,
    settings: Settings,
    building: Optional[Building] = None,
    *,
    reference: Optional[str] = None,
    base: Optional[str] = None,
    dask: Optional[str] = None,
    quiet: bool = True,
    startup: float = 0.0,
    on_written: Optional[Callable[[ModelReport], None]] = None,
) -> Outcome:
    """Analyze the model that `reading` names and write the reports.

    The keywords are those of `analyze_archive`. Finished layers are kept in a journal in the output
    directory until the reports are written and `on_written` has been called with the report, so
    that an interrupted run can be resumed. Raises `UsageError`, `SourceError` or `OutputError`; the
    output directory is checked before anything is read or downloaded. A `KeyboardInterrupt` carries
    a `Message` that says what is kept, and an `UnreachableError` says so too.
    """
    check_output(writing)
    journals: list[Journal] = []
    with contextlib.ExitStack() as stack:

        def keep_journal(of_run: Mapping[str, Any]) -> Journal:
            journal = open_journal(writing.directory, of_run, writing.resume, writing.force)
            journals.append(stack.enter_context(journal))
            # Another run may have finished while this one was reading.
            if not (writing.force or journals[0].finished):
                refuse_report(writing.directory)
            return journals[0]

        try:
            report = analyze_archive(
                reading,
                settings,
                building,
                reference=reference,
                base=base,
                dask=dask,
                quiet=quiet,
                startup=startup,
                keep_journal=keep_journal,
                earlier=interrupted_run(writing.directory) if writing.resume else None,
            )
            outcome = write_reports(report, writing, quiet)
            if on_written is not None:
                on_written(outcome.report)
        except (KeyboardInterrupt, UnreachableError, EngineLost, EngineUnusable) as stop:
            kept = sum(len(journal.finished) for journal in journals)
            if not kept:
                raise
            raise stopped(stop, what_is_kept(writing.directory, kept)) from None
        for journal in journals:
            journal.remove()
    return outcome


def analyze_archive(
    reading: Reading,
    settings: Settings,
    building: Optional[Building] = None,
    *,
    reference: Optional[str] = None,
    base: Union[str, Source, None] = None,
    dask: Optional[str] = None,
    quiet: bool = True,
    startup: float = 0.0,
    keep_journal: Optional[KeepJournal] = None,
    earlier: Optional[Mapping[str, Any]] = None,
) -> ModelReport:
    """Open and analyze the model that `reading` names; writes nothing itself.

    `reference` is the argument of `read_reference` for the numbers to compare with; it is read
    first. `base` is the path or URL of the model that training started from, or that model opened.
    The matrices are measured on the cluster of the scheduler `dask`, if it is given.
    `startup` is the number of seconds that a command had taken before. Without `quiet`, a
    terminal shows the progress. `keep_journal` opens the journal of this run; its outcomes are used
    unchanged, and new ones are added to it. `earlier` are the facts of the run that is resumed.
    """
    started = time.perf_counter()
    require_eigensolver(settings)
    building = building or Building()
    cluster = None if dask is None else Cluster(dask, reading, settings)
    beside_files = () if reference is None else (state_of(Path(reference).expanduser()),)
    beside = None if reference is None else read_reference(reference)
    with contextlib.ExitStack() as stack:
        start: Optional[Source] = base if isinstance(base, Source) else None
        if isinstance(base, str):
            start = stack.enter_context(opened(Reading(base, limits=reading.limits), quiet))
        source = stack.enter_context(opened(reading, quiet))
        modules, notes = _modules(source, building)
        report = analyze_source(
            replace(source, warnings=(*source.warnings, *notes)),
            modules,
            settings,
            quiet=quiet,
            base=start,
            cluster=cluster,
            startup=startup,
            keep_journal=keep_journal,
            earlier=earlier,
            started=started,
        )
        changed = first_write(source.files)
        if changed is not None:
            raise SourceError(f"{changed}: changed while it was being analyzed; run again")
    asked = redacted_in(
        {
            "weights_file": reading.weights_file,
            "part": reading.part,
            "key": reading.key,
            **plain(building),
        }
    )
    files = (*beside_files, *(start.files if start else ()), *source.files)
    report = replace(report, settings={**report.settings, **asked}, files=files)
    return report if beside is None else beside_reference(report, beside)


def analyze_source(
    source: Source,
    modules: Optional[ModuleTable],
    settings: Settings,
    *,
    base: Optional[Source] = None,
    cluster: Optional[Cluster] = None,
    quiet: bool = True,
    startup: float = 0.0,
    keep_journal: Optional[KeepJournal] = None,
    earlier: Optional[Mapping[str, Any]] = None,
    started: Optional[float] = None,
) -> ModelReport:
    """Analyze an opened source; `modules` is None if only the weights are known.

    The keywords are those of `analyze_archive`, with `base` opened; `cluster` measures the
    matrices; `started` is the time when reading began (None: now).
    """
    started = time.perf_counter() if started is None else started
    notes = list(source.warnings)
    matrices = matrices_of(source, modules, settings)
    chosen, found_adapters = matrices.chosen, matrices.adapters
    if not found_adapters:
        refuse_nothing(source.archive, matrices.every, chosen, matrices.skipped)
    settings = with_eigensolver(settings, [matrix.shape for matrix in chosen], earlier)
    journal = keep_journal(run_facts(source, chosen, settings)) if keep_journal else None
    # The workers fetch what they measure.
    done = range(len(chosen)) if cluster else journal.finished if journal else ()
    expect(source, chosen, matrices.skipped, settings, done)
    chosen = with_surroundings(source, matrices.every, chosen)
    read = time.perf_counter() - started
    solver = _solver(settings, notes.append, source, base)
    try:
        on_workers = cluster.measuring(source, modules, chosen, settings) if cluster else None
        found = _measured(chosen, settings, solver, journal, quiet, on_workers)
    except CheckpointError as error:
        raise CheckpointError(f"{source.archive}: {error.text}", *error.advice) from None
    notes.extend(on_workers.notes() if on_workers else ())
    notes.extend(refused(source.archive, found, settings.max_dim))
    layers = follow_dead_units(chosen, found.layers)
    adapters, not_measured = measure_adapters(found_adapters)
    if base is not None:
        layers, without = relative_to_base(chosen, layers, base, settings, solver)
        adapters, lacking = beside_base(found_adapters, adapters, base, source.adapter_config)
        notes += [*without, *lacking]
    logits, of_logits = timed_logits(source, chosen, settings.max_dim)
    checked = with_invalid_vectors(source, matrices.skipped, asked_for(chosen, settings))
    left_out = (*checked, *found.skipped, *not_measured)
    return ModelReport(
        tool=tool_info(),
        source=_source_info(source, modules),
        settings=_settings_of_report(settings, base),
        layers=layers,
        skipped=left_out,
        summary=summarize(layers, left_out, adapters),
        timing=Timing(startup, read, found.spectra_seconds + of_logits, found.fits_seconds),
        warnings=(*notes, *other_findings(layers), *notes_on_alpha(layers)),
        adapters=adapters,
        attention=logits,
    )


def _solver(
    settings: Settings, tell: Callable[[str], None], *sources: Optional[Source]
) -> GramSolver:
    on_cpu = gram_solver(settings.eigensolver)
    if settings.cuda_device < 0:
        return on_cpu
    # What comes from a server is read once, in the order in which it is fetched.
    tensors = (tensor for source in sources if source for tensor in source.tensors.values())
    in_groups = not any(tensor.remote for tensor in tensors)
    return cuda_spectrum(settings.cuda_device, tell, in_groups, on_cpu)


def _measured(
    chosen: Sequence[WeightMatrix],
    settings: Settings,
    solver: GramSolver,
    journal: Optional[Journal],
    quiet: bool,
    elsewhere: Optional[Elsewhere],
) -> Analysis:
    """Measure the matrices that are not in `journal`, and add them to it."""
    finished = dict(journal.finished) if journal else {}
    costs = [Speed().seconds(matrix.shape) for matrix in chosen]
    with progress_by_cost("layers", costs, quiet=quiet, done=finished) as bar:

        def on_outcome(index: int, outcome: LayerOutcome) -> None:
            if journal is not None:
                journal.add(index, outcome)
            bar.finished(index)

        return analyze(chosen, settings, solver, on_outcome, finished, elsewhere)


def _settings_of_report(settings: Settings, base: Optional[Source]) -> dict[str, Any]:
    started_from = None if base is None else base.archive
    unread = {"base": started_from, "weights_file": None, "part": None, "key": None}
    return {**plain(settings), **unread, **plain(Building())}


def _modules(source: Source, building: Building) -> tuple[Optional[ModuleTable], tuple[str, ...]]:
    """Build the modules. Returns their table, or None, and warnings that say why."""
    if not building.build_model:
        if building.overrides or building.include_packages:
            return None, (
                "the modules are not built, so overrides and packages to import have no effect",
            )
        return None, ()
    try:
        model = build_model(source, building.overrides, building.include_packages)
    except SourceError as error:
        return None, (f"failed to build the modules: {error}; continuing with the weights only",)
    return table_from_model(model, trains=False), ()


def _source_info(source: Source, modules: Optional[ModuleTable]) -> SourceInfo:
    return SourceInfo(
        archive=source.archive,
        resolved=source.resolved,
        sha256=source.sha256,
        weights_file=source.weights_file or None,
        model_type=source.model_type,
        walk="weights" if modules is None else "modules",
    )
