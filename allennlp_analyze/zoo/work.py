"""Analyzes the units of a zoo or a series in parallel; what is finished is kept."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Callable, Optional

from allennlp_analyze.analysis.writing import stopped as with_kept
from allennlp_analyze.engine.dask import Dask
from allennlp_analyze.engine.processes import Processes
from allennlp_analyze.engine.running import Engine, WorkerDied, completed
from allennlp_analyze.errors import Advice, Message
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.storage.files import make_directory, write_text
from allennlp_analyze.storage.locks import only_run
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.progress import progress_bar
from allennlp_analyze.zoo.results import FAILED, ModelOutcome
from allennlp_analyze.zoo.sizes import estimated_bytes
from allennlp_analyze.zoo.unit import (
    Returned,
    Token,
    Unit,
    analyze_anywhere,
    failure,
    kept,
    receive,
)

RUNNING = ".zoo-running"
RESUME = Advice("resume", "run the same command with {} to continue", switch=True)
DIED = "the process that analyzed it died; it may have run out of memory"


def engine_for(workers: Optional[int], dask: Optional[str], units: int) -> Engine:
    """Returns the cluster of the scheduler `dask`, or at most `workers` processes here."""
    if dask is not None:
        return Dask(dask)
    return Processes(max(1, min(workers or this_machine().cores, units)))


@contextlib.contextmanager
def only_run_of(root: Path) -> Iterator[Token]:
    """Lock the directory against other runs; yields the token by which workers recognize it."""
    make_directory(root)
    token = Token(root.absolute() / RUNNING, secrets.token_hex(16))
    with only_run(root, partial(_process, token.path)):
        write_text(token.path, json.dumps({"process": os.getpid(), "token": token.secret}))
        try:
            yield token
        finally:
            with contextlib.suppress(OSError):
                token.path.unlink()


def _process(path: Path) -> Optional[int]:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["process"])
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return None


def analyze_units(
    units: Sequence[Unit],
    outcomes: dict[int, ModelOutcome],
    token: Token,
    engine: Engine,
    quiet: bool,
    what: str = "model",
) -> None:
    """Analyze every unit without an outcome and add its outcome; `what` names one for the bar."""
    missing = [index for index in range(len(units)) if index not in outcomes]
    if not missing:
        return
    todo = [units[index] for index in missing]
    sizes = [estimated_bytes(unit.reading.archive, unit.settings) for unit in todo]
    work = partial(analyze_anywhere, token)
    results = completed(work, todo, sizes, engine)
    failed = 0
    bar = progress_bar(what, len(units), quiet=quiet, done=len(outcomes))
    with contextlib.closing(results), bar as progress:
        for place, result in results:
            outcome = _received(todo[place], result)
            outcomes[missing[place]] = outcome
            failed += outcome.status == FAILED
            progress.advance(note=f"{failed} failed" if failed else "")


def _received(unit: Unit, result: Callable[[], Returned]) -> ModelOutcome:
    try:
        return receive(result(), unit)
    except WorkerDied:
        reason = DIED
    except Exception as error:  # from the connection to the worker; the other models must continue
        reason = f"unexpected {type(error).__name__}: {error}"
    return kept(failure(unit.digest, reason), unit.directory)


def stopped(
    stop: BaseException, root: Path, done: int, of: int, what: str = "model", again: str = ""
) -> BaseException:
    """Returns the error or interrupt that says what is kept, and how to go on.

    `again` says it if the same command continues by itself.
    """
    kept = f"{done} of {count(of, what)} are done and kept in {root}{again}"
    return with_kept(stop, Message(kept, () if again else (RESUME,)))
