"""Trains the networks of the rank-collapse experiment in parallel and analyzes every epoch."""

import contextlib
import multiprocessing
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from allennlp_analyze import analyze
from allennlp_analyze.errors import OutputError, SourceError
from allennlp_analyze.storage.files import TEMPORARY_SUFFIX, make_directory
from allennlp_analyze.text.progress import progress_bar
from scripts.rank_collapse.data import read_images
from scripts.rank_collapse.net import (
    Training,
    TrainingLog,
    epoch_file,
    holds_another,
    read_log,
    train,
)
from scripts.rank_collapse.results import HIDDEN, EpochState, TrainedNetwork

POLLING_SECONDS = 0.5
HIDDEN_PATTERN = f"^({'|'.join(HIDDEN)})$"


@dataclass(frozen=True)
class Sweep:
    """The trainings and the directory of each."""

    trainings: tuple[Training, ...]
    directory: Path
    data_dir: Optional[Path]
    jobs: int
    quiet: bool

    def place(self, training: Training) -> Path:
        return self.directory / place_name(training.l2)


def place_name(l2: float) -> str:
    """Returns the directory name of the network with this penalty, such as l2-0.001."""
    return f"l2-{l2:g}"


def prepare(sweep: Sweep, resume: bool, force: bool) -> None:
    """Create the directories; `resume` keeps the files of an earlier sweep, `force` removes them.

    Raises `OutputError` without either of them, if a log belongs to another training, or if files
    cannot be removed or written; raises `SourceError` if a file is not a log.
    """
    for training in sweep.trainings:
        place = sweep.place(training)
        try:
            if place.exists():
                _clear(training, place, resume, force)
        except OSError as error:
            raise OutputError(
                f"{place}: cannot be {'removed' if force else 'gone on with'}"
                f" ({error.strerror or error})"
            ) from None
        make_directory(place)


def _clear(training: Training, place: Path, resume: bool, force: bool) -> None:
    """Remove the files that the training must not find in its directory."""
    if force:
        shutil.rmtree(place)
    elif not resume:
        raise OutputError(
            f"{place}: already exists; use --resume to continue it, or --force to start over"
        )
    elif holds_another(training, place):
        raise OutputError(
            f"{place}: contains a training with other options; use --force to replace it, or"
            " another --output-dir"
        )
    else:
        # A killed process could not remove its partial files.
        for path in place.glob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()


def train_all(sweep: Sweep) -> tuple[TrainingLog, ...]:
    """Train the remaining networks, `sweep.jobs` at a time, each on one core.

    Raises what `read_images` raises, and `SourceError` if a process dies.
    """
    open_ = [t for t in sweep.trainings if not read_log(t, sweep.place(t)).is_complete(t)]
    if open_:
        with _workers(min(sweep.jobs, len(open_))) as pool:
            futures = [pool.submit(_train, t, sweep.data_dir, sweep.place(t)) for t in open_]
            _watch(sweep, futures)
    return tuple(read_log(t, sweep.place(t)) for t in sweep.trainings)


@contextlib.contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Spawn processes; running ones are terminated if an error is raised here."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_leave_interrupts) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _leave_interrupts() -> None:
    """Ignore Ctrl-C, which reaches every process of a terminal; the parent ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _train(training: Training, data_dir: Optional[Path], place: Path) -> None:
    import torch

    torch.set_num_threads(1)  # networks are trained in parallel
    train(training, read_images(training.data, data_dir), place)


def _watch(sweep: Sweep, futures: Sequence["Future[None]"]) -> None:
    """Show the finished epochs until all are done; raises the error of a worker."""
    total = sum(training.epochs for training in sweep.trainings)
    waiting = set(futures)
    shown = 0
    with progress_bar("epoch", total, quiet=sweep.quiet, title="training") as bar:
        while waiting:
            finished, waiting = wait(waiting, POLLING_SECONDS, FIRST_COMPLETED)
            logs = [read_log(t, sweep.place(t)) for t in sweep.trainings]
            done = sum(max(len(log.epochs) - 1, 0) for log in logs)
            bar.advance(done - shown)
            shown = done
            for future in finished:
                try:
                    future.result()
                except BrokenProcessPool:
                    raise SourceError(
                        "a training process died (out of memory?); use --resume to continue, and"
                        " --jobs 1 to use less memory"
                    ) from None


def analyze_all(sweep: Sweep, logs: Sequence[TrainingLog]) -> tuple[TrainedNetwork, ...]:
    """Analyze the hidden layers of every epoch of every network with the library."""
    total = sum(len(log.epochs) for log in logs)
    found = []
    with progress_bar("epoch", total, quiet=sweep.quiet, title="analysis") as bar:
        for training, log in zip(sweep.trainings, logs):
            states = []
            for epoch in log.epochs:
                path = epoch_file(sweep.place(training), epoch.epoch)
                layers = analyze(path, kinds="linear", layers=HIDDEN_PATTERN).layers
                states.append(
                    EpochState(epoch.epoch, epoch.train_loss, epoch.test_accuracy, tuple(layers))
                )
                bar.advance()
            found.append(
                TrainedNetwork(training.l2, training.decay, tuple(states), diverged=log.diverged)
            )
    return tuple(found)
