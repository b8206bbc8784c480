"""Writes the reports of one model: checks the output directory, writes files and figures."""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from allennlp_analyze.analysis.journal import JOURNAL, finished_layers, only_writer
from allennlp_analyze.analysis.request import Writing
from allennlp_analyze.errors import Advice, AnalyzeError, Message, OutputError
from allennlp_analyze.reports.annotations import JUNIT
from allennlp_analyze.reports.csv import write_csv
from allennlp_analyze.reports.figures.plots import FIGURES_PER_MODEL, write_plots
from allennlp_analyze.reports.html.model import PAGE, write_html
from allennlp_analyze.reports.json import write_json, write_timing
from allennlp_analyze.reports.loader import REPORT, VALUES
from allennlp_analyze.reports.npz import write_npz
from allennlp_analyze.reports.weightwatcher import PEER_TABLE
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.storage.files import TEMPORARY_SUFFIX, check_directory, make_directory
from allennlp_analyze.storage.locks import LOCK
from allennlp_analyze.text.progress import progress_bar

TABLE = "layers.csv"
PLOTS = "plots"
NEW, DRAWN = ".new-", ".plots-"
# report.json goes first and comes last: see `write_reports`.
FILES = (TABLE, VALUES, PAGE, REPORT)


@dataclass(frozen=True)
class Outcome:
    """The report and the paths that were written."""

    report: ModelReport
    written: tuple[Path, ...]


def check_output(writing: Writing) -> None:
    """Check before any work that the reports can be written; creates nothing.

    Raises `OutputError` if they cannot, or if they would replace existing reports without `force`.
    """
    directory = writing.directory
    check_directory(directory, (*FILES, JOURNAL, LOCK), (PLOTS,) if writing.figures else ())
    finished = finished_layers(directory)
    if writing.force or (writing.resume and finished):
        return
    if finished:
        kept = what_is_kept(directory, finished)
        anew = Advice("force", "or use {} to start over", switch=True)
        raise OutputError(kept.text, *kept.advice, anew)
    refuse_report(directory)


def refuse_report(directory: Path) -> None:
    """Raise `OutputError` if `directory` contains a report."""
    if (directory / REPORT).exists():
        raise OutputError(
            f"{directory}: a report already exists",
            Advice("force", "use {} to replace it", switch=True),
        )


def what_is_kept(directory: Path, matrices: int) -> Message:
    """Returns a message about the results that an interrupted run has kept."""
    kept = "1 matrix is" if matrices == 1 else f"{matrices} matrices are"
    return Message(
        f"{kept} done and kept in {directory}",
        (Advice("resume", "run the same command with {} to continue", switch=True),),
    )


def stopped(stop: BaseException, kept: Message) -> BaseException:
    """Returns the error or interrupt that ended a run, with what it has kept."""
    if isinstance(stop, AnalyzeError):
        return type(stop)(f"{stop.text}; {kept.text}", *stop.advice, *kept.advice)
    return type(stop)(kept)


def write_alone(report: ModelReport, writing: Writing) -> Outcome:
    """Check the output directory and write every report of `report`, without a run.

    The directory is locked as by a run, so that two writers do not mix. Raises `OutputError`.
    """
    check_output(writing)
    with only_writer(writing.directory):
        if not writing.force:  # another writer may have finished since the check
            refuse_report(writing.directory)
        return write_reports(report, writing)


def write_reports(report: ModelReport, writing: Writing, quiet: bool = True) -> Outcome:
    """Write every report of `report`. Raises `OutputError`.

    The files are written beside the earlier ones and then replace them all. report.json goes first
    and comes last, so that a directory with a report.json holds files of one run, whenever the
    process dies. The plots take long and are drawn afterwards; then the report has its own timing.
    """
    started = time.perf_counter()
    directory = writing.directory
    make_directory(directory)
    _sweep(directory)
    new = make_directory(directory / f"{NEW}{os.getpid()}")
    try:
        write_csv(report, new / TABLE)
        write_npz(report, new / VALUES)
        write_html(report, new / PAGE)
        write_json(report, new / REPORT)
        _replace_all(directory, new)
    except OutputError as error:
        at = error.text.replace(str(new / "_")[:-1], str(directory / "_")[:-1])
        raise OutputError(at, *error.advice) from None
    except OSError as error:
        raise OutputError(f"{directory}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    written = [directory / name for name in (REPORT, TABLE, VALUES, PAGE)]
    numbers = time.perf_counter()
    if writing.figures is not None:
        _draw_plots(report, directory, writing.figures, quiet)
        written.append(directory / PLOTS)
    timing = replace(report.timing, write=numbers - started, plots=time.perf_counter() - numbers)
    write_timing(timing, directory / REPORT)
    return Outcome(replace(report, timing=timing), tuple(written))


def _replace_all(directory: Path, new: Path) -> None:
    """Replace the files of an earlier report by those in `new`."""
    with contextlib.suppress(FileNotFoundError):
        (directory / REPORT).unlink()
    if (directory / PLOTS).is_symlink():
        (directory / PLOTS).unlink()  # not what it leads to
    shutil.rmtree(directory / PLOTS, ignore_errors=True)
    for name in (JUNIT, PEER_TABLE):  # of the earlier run; the command writes them on request
        with contextlib.suppress(OSError):
            (directory / name).unlink()
    for name in FILES:
        (new / name).replace(directory / name)


def _sweep(directory: Path) -> None:
    """Remove the partial files of a killed run; the lock of the directory excludes others."""
    for stale in directory.glob(f".*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):
            stale.unlink()
    for partial in (*directory.glob(f"{DRAWN}*"), *directory.glob(f"{NEW}*")):
        shutil.rmtree(partial, ignore_errors=True)


def _draw_plots(report: ModelReport, directory: Path, fmt: str, quiet: bool) -> None:
    """Draw into a temporary directory and move it in when all plots are there."""
    drawn = directory / f"{DRAWN}{os.getpid()}"
    try:
        figures = len(report.layers) + FIGURES_PER_MODEL
        with progress_bar("plots", figures, quiet=quiet) as bar:
            write_plots(report, drawn, fmt, bar.advance)
        (drawn / PLOTS).replace(directory / PLOTS)
    except OSError as error:
        raise OutputError(f"{directory / PLOTS}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(drawn, ignore_errors=True)
