"""The BLAS of this process: its number of threads, and what rounds differently elsewhere."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Condition
from typing import Any, Callable

from allennlp_analyze.linalg.machine import BLAS_VARIABLES
from allennlp_analyze.linalg.openblas import libraries


def blas_threads() -> int:
    """Returns the number of threads that BLAS uses now for one call."""
    return max((int(pool["num_threads"]) for pool in _pools()), default=1)


def backend() -> str:
    """Returns the version of the BLAS that computes Gram matrices, and the processor it is for.

    Two processes with the same text, numpy and scipy compute the same bits with the same number of
    threads.
    """
    pools = _pools()
    numpys = [pool for pool in pools if "numpy" in pool["filepath"]] or pools
    names = ("internal_api", "version", "architecture")
    found = {" ".join(str(pool[name]) for name in names if pool.get(name)) for pool in numpys}
    return ", ".join(sorted(found)) or "unknown"


def loaded() -> "list[dict[str, Any]]":
    """Returns what threadpoolctl knows of the BLAS and OpenMP libraries of this process."""
    from threadpoolctl import threadpool_info

    libraries()  # loads them
    return threadpool_info()


def _pools() -> "list[dict[str, Any]]":
    return [pool for pool in loaded() if pool["user_api"] == "blas"]


@contextmanager
def limited_blas(threads: int) -> Iterator[None]:
    """Let each call of BLAS in this process use `threads` threads, also in what is loaded inside.

    scipy has a BLAS of its own, which is loaded when it is first needed.
    """
    before = {pool["filepath"]: int(pool["num_threads"]) for pool in _pools()}
    variables = {name: os.environ.get(name) for name in BLAS_VARIABLES}
    if set(before.values()) <= {threads} and set(variables.values()) == {str(threads)}:
        yield  # an outer limit, perhaps of another thread, restores them
        return
    _use(lambda _: threads)
    # A library reads them when it is loaded.
    os.environ.update(dict.fromkeys(BLAS_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        usual = max(before.values(), default=1)
        _use(lambda path: before.get(path, usual))


def _use(threads: Callable[[str], int]) -> None:
    """Set the number of threads of each loaded library by its path.

    Unlike threadpoolctl's own context this works in any thread: only the first one that sets a
    limit may change it there.
    """
    from threadpoolctl import ThreadpoolController

    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        clear = getattr(library, "clear_controlling_thread", lambda force: None)  # before 3.8
        clear(force=True)
        library.set_num_threads(threads(library.filepath))
        clear(force=True)


def one_blas_thread() -> AbstractContextManager[None]:
    """Limit BLAS to one thread, so that jobs do not compete for cores."""
    return limited_blas(1)


class BlasThreads:
    """The number of BLAS threads in a process whose threads ask for it at the same time.

    BLAS has one number for the whole process: who wants another one waits until the others are
    done. Who has several threads is alone with them.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._threads = 0
        self._users = 0
        self._limits = ExitStack()

    @contextmanager
    def limited_to(self, threads: int) -> Iterator[None]:
        """Let each call of BLAS use `threads` threads inside, neither more nor fewer."""
        self._enter(threads)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, threads: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._users or self._threads == threads == 1)
            if not self._users:
                self._limits.enter_context(limited_blas(threads))
                self._threads = threads
            self._users += 1

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            if not self._users:
                self._limits.close()
                self._changed.notify_all()
