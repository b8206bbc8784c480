"""What a worker of a cluster does: opens the model that the leader has opened, and measures."""

import atexit
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.facts import Seen, first_difference, seen
from allennlp_analyze.analysis.measure import Measured, measure
from allennlp_analyze.analysis.opened import matrices_of, opened
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.engine.running import EngineUnusable
from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.linalg.backend import BlasThreads, backend
from allennlp_analyze.linalg.eigensolvers import EIGENSOLVERS, described, gram_solver
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import ModuleTable
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.download.cache import is_url

# Seconds after which a worker closes a model that it has no more work on.
IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class Model:
    """What a worker needs to open the model of a run, and to know that it is the same one.

    `run` is another text for each run, `version` that of this package.
    """

    run: str
    version: str
    # Workers log the arguments of what fails, and a URL may contain a password.
    reading: Reading = field(repr=False)
    settings: Settings = field(repr=False)
    modules: Optional[ModuleTable] = field(repr=False)
    seen: Seen = field(repr=False)


@dataclass(frozen=True)
class Task:
    """The matrices of `model` that one worker measures together, with so many BLAS threads."""

    model: Model
    indices: tuple[int, ...]
    threads: int


@dataclass(frozen=True)
class Done:
    """What was measured, by the index of the matrix, and what computed it."""

    measured: tuple[tuple[int, Measured], ...] = field(repr=False)
    computed_by: str


def measure_task(task: Task) -> Done:
    """Measure the matrices of `task`, as a run does that is not on a cluster.

    Raises `EngineUnusable` if this worker does not have the same package and see the same model;
    the text names its host.
    """
    # Several threads on a machine that is busy with other tasks would take many times as long.
    settings = task.model.settings
    with _models.using(task.model) as chosen, _threads.limited_to(task.threads):
        solver = gram_solver(settings.eigensolver, serial=task.threads > 1)
        found = [(i, measure(chosen[i], settings, solver)) for i in task.indices]
    return Done(tuple(found), computed_by(settings.eigensolver))


def computed_by(eigensolver: str) -> str:
    """Returns what the last bits of a result depend on: libraries, and their processor."""
    tool, scipy = tool_info(), metadata.version("scipy")
    libraries = f"numpy {tool.numpy}, scipy {scipy}, powerlaw {tool.powerlaw}, {backend()}"
    return f"{libraries}, eigenvalues by {described(eigensolver)}"


class _Opened:
    """A model that this process has opened; closed when it is not used for a while."""

    def __init__(self, model: Model) -> None:
        self._stack = ExitStack()
        self.chosen = _open(model, self._stack)
        self.users = 0
        self.used = time.monotonic()
        self.timer: Optional[threading.Timer] = None

    def is_idle(self, seconds: float) -> bool:
        return not self.users and time.monotonic() - self.used >= seconds

    def close(self) -> None:
        self._stack.close()


class _Models:
    """The models that this process has open, by run: a worker has many matrices of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, _Opened] = {}

    @contextmanager
    def using(self, model: Model) -> "Iterator[list[WeightMatrix]]":
        with self._lock:
            if model.run not in self._models:
                self._models[model.run] = _Opened(model)
            found = self._models[model.run]
            found.users += 1
        try:
            yield found.chosen
        finally:
            with self._lock:
                found.users -= 1
                found.used = time.monotonic()
                if found.timer is not None:
                    found.timer.cancel()
                found.timer = threading.Timer(IDLE_SECONDS, self.close_idle, (IDLE_SECONDS,))
                found.timer.daemon = True
                found.timer.start()

    def close_idle(self, seconds: float) -> None:
        """Close what no task has used for so many seconds."""
        with self._lock:
            for run in [run for run, model in self._models.items() if model.is_idle(seconds)]:
                self._models.pop(run).close()


_models = _Models()
_threads = BlasThreads()
atexit.register(_models.close_idle, 0.0)


def _open(model: Model, stack: ExitStack) -> "list[WeightMatrix]":
    """Open `model` until `stack` is closed. Raises `EngineUnusable`."""
    host = f"the worker on {socket.gethostname()}"
    if model.version != VERSION:
        raise EngineUnusable(
            f"{host} has allennlp_analyze {VERSION}, expected {model.version};"
            " install the same version everywhere"
        )
    name = model.settings.eigensolver
    if EIGENSOLVERS[name].find() is None:
        raise EngineUnusable(
            f"{host} cannot compute eigenvalues with {name}: {EIGENSOLVERS[name].lacks}; install it"
            " there, or choose another eigensolver"
        )
    is_local = not is_url(model.reading.archive)
    try:
        with ExitStack() as own:
            digest = model.seen.sha256 if is_local else None
            source = own.enter_context(opened(model.reading, digest=digest))
            found = matrices_of(source, model.modules, model.settings)
            difference = first_difference(model.seen, seen(source, found.chosen))
            if difference is not None:
                raise EngineUnusable(
                    f"{host} does not see the same model: {difference}; every worker must see the"
                    " same files under the same path"
                )
            chosen = with_surroundings(source, found.every, found.chosen)
            stack.push(own.pop_all())
            return chosen
    except EngineUnusable:
        raise
    except AnalyzeError as error:
        raise EngineUnusable(f"{host} cannot read the model: {error.text}") from None
