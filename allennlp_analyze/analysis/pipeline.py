"""One archive from start to end: open it, walk it, analyze it, write the reports."""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.build import build_model
from allennlp_analyze.analysis.journal import Journal, finished_layers, open_journal
from allennlp_analyze.analysis.measure import Analysis, analyze, select
from allennlp_analyze.analysis.summary import other_findings, summarise
from allennlp_analyze.errors import OutputError, SourceError
from allennlp_analyze.linalg.cuda import cuda_spectrum
from allennlp_analyze.linalg.gram import GramSolver, gram_spectrum
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.matrices.finding import WeightMatrix, find_matrices
from allennlp_analyze.matrices.modules import ModuleTable, table_from_model
from allennlp_analyze.reference.comparison import beside_reference
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.reports.csv import write_csv
from allennlp_analyze.reports.figures.plots import FIGURES_PER_MODEL, write_plots
from allennlp_analyze.reports.html.model import PAGE, write_html
from allennlp_analyze.reports.json import write_json
from allennlp_analyze.reports.loader import REPORT, VALUES
from allennlp_analyze.reports.npz import write_npz
from allennlp_analyze.results.layer import LayerOutcome, ModelReport, Skipped, SourceInfo, Timing
from allennlp_analyze.settings import MAX_UNPACKED_SIZE, PLOT_FORMATS, TIMEOUT, Settings
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source
from allennlp_analyze.storage.files import TEMPORARY_SUFFIX, check_directory, make_directory
from allennlp_analyze.text.progress import progress_bar

TABLE = "layers.csv"
PLOTS = "plots"
DRAWN = ".plots-"


@dataclass(frozen=True)
class Request:
    """What to read and where to write; how it is analyzed is in `Settings`.

    `startup` are the seconds that had passed in a command before it came here; `reference` is what
    the results are set beside, as `read_reference` understands it.
    """

    archive: str
    output_dir: Optional[Path] = None
    force: bool = False
    resume: bool = False
    weights_file: Optional[str] = None
    sha256: Optional[str] = None
    timeout: float = TIMEOUT
    max_unpacked_size: int = MAX_UNPACKED_SIZE
    build_model: bool = False
    overrides: str = ""
    include_packages: tuple[str, ...] = ()
    plots: bool = True
    plot_format: str = PLOT_FORMATS[0]
    quiet: bool = False
    startup: float = 0.0
    reference: Optional[str] = None


@dataclass(frozen=True)
class Outcome:
    """The report and the paths that were written."""

    report: ModelReport
    written: tuple[Path, ...]


def archive_name(archive: str) -> str:
    """The last part of a path or URL without its ending: what the output directory is called."""
    path = urlsplit(archive).path if "://" in archive else archive
    name = PurePosixPath(path).name
    if name in ("", ".."):
        name = Path(path).resolve().name
    for ending in MODEL_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name or "model"


def run(request: Request, settings: Settings) -> Outcome:
    """Analyze `request.archive` and write the reports.

    Layers that are done go into a journal in the output directory until the reports are written,
    so that an interrupted run can be resumed. Raises `UsageError`, `SourceError` or `OutputError`;
    the output directory is checked before anything is read or downloaded. A `KeyboardInterrupt`
    that passes through says what is kept.
    """
    directory = request.output_dir or Path("analysis") / archive_name(request.archive)
    _check_output(directory, request)
    journals: list[Journal] = []
    with contextlib.ExitStack() as stack:

        def keep_journal(of_run: Mapping[str, Any]) -> Journal:
            journal = open_journal(directory, of_run, request.resume, request.force)
            journals.append(stack.enter_context(journal))
            return journals[0]

        try:
            report = analyze_archive(request, settings, keep_journal)
            outcome = Outcome(*_write(report, directory, request))
        except KeyboardInterrupt as interrupt:
            kept = sum(len(journal.finished) for journal in journals)
            raise (type(interrupt)(_resume_hint(directory, kept)) if kept else interrupt) from None
        for journal in journals:
            journal.remove()
    return outcome


def _resume_hint(directory: Path, kept: int) -> str:
    matrices = "1 matrix is" if kept == 1 else f"{kept} matrices are"
    return f"{matrices} done and kept in {directory}; the same command with --resume goes on"


def analyze_archive(
    request: Request,
    settings: Settings,
    keep_journal: Optional[Callable[[Mapping[str, Any]], Journal]] = None,
) -> ModelReport:
    """Open and analyze `request.archive`, the reference being read first; writes nothing itself.

    `keep_journal` opens the journal of this run, whose outcomes are taken as they are and which
    every other outcome is added to.
    """
    started = time.perf_counter()
    reference = None if request.reference is None else read_reference(request.reference)
    with open_source(
        request.archive,
        request.weights_file,
        quiet=request.quiet,
        max_unpacked_size=request.max_unpacked_size,
        timeout=request.timeout,
        sha256=request.sha256,
    ) as source:
        notes = list(source.warnings)
        modules = _modules(source, request, notes)
        source = replace(source, warnings=tuple(notes))
        report = analyze_source(source, modules, request, settings, keep_journal, started)
    return report if reference is None else beside_reference(report, reference)


def analyze_source(
    source: Source,
    modules: Optional[ModuleTable],
    request: Request,
    settings: Settings,
    keep_journal: Optional[Callable[[Mapping[str, Any]], Journal]] = None,
    started: Optional[float] = None,
) -> ModelReport:
    """Analyze what has been opened; `modules` is None where only the weights are known.

    `request` says how that was asked for; `started` is when reading began (None: now).
    """
    started = time.perf_counter() if started is None else started
    notes = list(source.warnings)
    matrices, skipped = find_matrices(source, modules, settings.split_gates)
    chosen = select(matrices, settings)
    refuse_nothing(source.archive, matrices, chosen, skipped)
    read = time.perf_counter() - started
    solver: GramSolver = gram_spectrum
    if settings.cuda_device >= 0:
        solver = cuda_spectrum(settings.cuda_device, notes.append)
    journal = keep_journal(_run_facts(source, chosen, settings)) if keep_journal else None
    finished = dict(journal.finished) if journal else {}
    done = len(finished)
    with progress_bar("layers", len(chosen), quiet=request.quiet, done=done) as bar:

        def on_outcome(index: int, outcome: LayerOutcome) -> None:
            if journal is not None:
                journal.add(index, outcome)
            bar.advance()

        found = analyze(chosen, settings, solver, on_outcome, finished)
    notes.extend(_refused(source.archive, found, settings.max_dim))
    everything_skipped = (*skipped, *found.skipped)
    return ModelReport(
        tool=tool_info(),
        source=_source_info(source, modules),
        settings=_settings(request, settings),
        layers=found.layers,
        skipped=everything_skipped,
        summary=summarise(found.layers, everything_skipped),
        timing=Timing(
            startup=request.startup,
            read=read,
            spectra=found.spectra_seconds,
            fits=found.fits_seconds,
        ),
        warnings=(*notes, *other_findings(found.layers)),
    )


def _run_facts(
    source: Source, chosen: Sequence[WeightMatrix], settings: Settings
) -> dict[str, object]:
    """All that the outcomes depend on, to the last bit, for the journal: only a run of which the
    same is true may go on with them."""
    weights: list[object] = [source.sha256, source.weights_file]
    if Path(source.weights_file).is_file():  # not a member of the archive
        status = Path(source.weights_file).stat()
        weights += [status.st_size, status.st_mtime_ns]
    described = "\n".join(map(repr, chosen)).encode("utf-8", "backslashreplace")
    return {
        "tool": asdict(tool_info()),
        "weights": weights,
        "matrices": hashlib.sha256(described).hexdigest(),
        "settings": {**asdict(settings), "jobs": None},
        "machine": asdict(this_machine()),
    }


def _modules(source: Source, request: Request, notes: list[str]) -> Optional[ModuleTable]:
    """What the built modules say, None (and a note) when they are not wanted or cannot be built."""
    if not request.build_model:
        if request.overrides or request.include_packages:
            notes.append("--overrides and --include-package have no effect without --build-model")
        return None
    try:
        model = build_model(source, request.overrides, request.include_packages)
    except SourceError as error:
        notes.append(f"--build-model: {error}; going on from the weights alone")
        return None
    return table_from_model(model)


def refuse_nothing(
    archive: str,
    matrices: Sequence[WeightMatrix],
    chosen: Sequence[WeightMatrix],
    skipped: Sequence[Skipped],
) -> None:
    """Raise `SourceError` when there is nothing to analyze, saying what there was."""
    if chosen:
        return
    if matrices:
        raise SourceError(
            f"{archive}: --kinds and --layers leave none of its {len(matrices)} matrices"
            f" ({', '.join(sorted({m.kind for m in matrices}))})"
        )
    names = ", ".join(f"{s.parameter} ({s.reason})" for s in skipped[:5])
    more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    raise SourceError(
        f"{archive}: no weight matrix to analyze; skipped: {names or 'nothing'}{more}"
    )


def _refused(archive: str, found: Analysis, max_dim: int) -> Iterator[str]:
    """A line when matrices were too large. Raises `SourceError` when they were all there is."""
    large = [left_out for left_out in found.skipped if min(left_out.shape) > max_dim]
    if not large:
        return
    first = f"{large[0].parameter}: {large[0].reason}"
    more = f" (and {len(large) - 1} more)" if len(large) > 1 else ""
    if not found.layers:
        raise SourceError(f"{archive}: {first}{more}")
    yield f"left out: {first}{more}"


def _source_info(source: Source, modules: Optional[ModuleTable]) -> SourceInfo:
    return SourceInfo(
        archive=source.archive,
        resolved=source.resolved,
        sha256=source.sha256,
        weights_file=source.weights_file or None,
        model_type=source.model_type,
        walk="weights" if modules is None else "modules",
    )


def _settings(request: Request, settings: Settings) -> dict[str, object]:
    """Every choice that was in force, for the report."""
    return {
        **asdict(settings),
        "kinds": None if settings.kinds is None else list(settings.kinds),
        "weights_file": request.weights_file,
        "build_model": request.build_model,
        "overrides": request.overrides,
        "include_packages": list(request.include_packages),
    }


def _check_output(directory: Path, request: Request) -> None:
    """Find out, before any work and without a trace, that reports can be written to `directory`."""
    check_directory(directory)
    _check_earlier_run(directory, request)


def _check_earlier_run(directory: Path, request: Request) -> None:
    """Refuse to replace what an earlier run has written, unless the user asks for that."""
    finished = finished_layers(directory)
    if request.force or (request.resume and finished):
        return
    if finished:
        raise OutputError(f"{_resume_hint(directory, finished)}, with --force it starts anew")
    if (directory / REPORT).exists():
        raise OutputError(f"{directory}: already holds a report; --force replaces it")


def write_reports(report: ModelReport, directory: Path, request: Request) -> Outcome:
    """Write every report of `report` into `directory`, as `run` does. Raises `OutputError`."""
    _check_output(directory, request)
    return Outcome(*_write(report, directory, request))


def _write(
    report: ModelReport, directory: Path, request: Request
) -> tuple[ModelReport, tuple[Path, ...]]:
    """Write the numbers first: a plot that fails or is interrupted loses none of them.

    The report is written when the time that all this took is known, and before plots, which take
    long, once more.
    """
    started = time.perf_counter()
    make_directory(directory)
    _sweep(directory)
    written = [directory / name for name in (REPORT, TABLE, VALUES, PAGE)]
    if request.plots:
        write_json(report, written[0])
    write_csv(report, written[1])
    write_npz(report, written[2])
    write_html(report, written[3])
    numbers = time.perf_counter()
    if request.plots:
        _replace_plots(report, directory, request)
        written.append(directory / PLOTS)
    else:
        shutil.rmtree(directory / PLOTS, ignore_errors=True)
    timing = replace(report.timing, write=numbers - started, plots=time.perf_counter() - numbers)
    report = replace(report, timing=timing)
    write_json(report, written[0])
    return report, tuple(written)


def _sweep(directory: Path) -> None:
    """Remove what a killed run was writing; no other run is at work here: it holds the journal."""
    for stale in directory.glob(f".*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):
            stale.unlink()
    for drawn in directory.glob(f"{DRAWN}*"):
        shutil.rmtree(drawn, ignore_errors=True)


def _replace_plots(report: ModelReport, directory: Path, request: Request) -> None:
    """Draw into a temporary directory and swap it in, so that no plot of an earlier run stays."""
    drawn = directory / f"{DRAWN}{os.getpid()}"
    try:
        figures = len(report.layers) + FIGURES_PER_MODEL
        with progress_bar("plots", figures, quiet=request.quiet) as bar:
            write_plots(report, drawn, request.plot_format, bar.advance)
        shutil.rmtree(directory / PLOTS, ignore_errors=True)
        (drawn / PLOTS).replace(directory / PLOTS)
    except OSError as error:
        raise OutputError(f"{directory / PLOTS}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(drawn, ignore_errors=True)
