"""The BLAS of this process: its number of threads, and what rounds differently elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any, Optional

from allennlp_analyze.linalg.openblas import libraries


def blas_threads() -> int:
    """Returns the number of threads that BLAS uses now for one call."""
    return max((int(pool["num_threads"]) for pool in _pools()), default=1)


def backend() -> str:
    """Returns the names and versions of the BLAS libraries, and the processor they compute for.

    Two processes with the same text, and the same numpy, compute the same bits with the same number
    of threads.
    """
    names = ("internal_api", "version", "architecture")
    found = {" ".join(str(pool[name]) for name in names if pool.get(name)) for pool in _pools()}
    return ", ".join(sorted(found)) or "unknown"


def _pools() -> "list[dict[str, Any]]":
    from threadpoolctl import threadpool_info

    libraries()  # loads them
    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]


class BlasThreads:
    """The number of BLAS threads in a process whose threads ask for it at the same time.

    BLAS has one number for the whole process: who wants another one waits until the others are
    done.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._threads = 0
        self._users = 0
        self._limits: Optional[Any] = None

    @contextmanager
    def limited_to(self, threads: int) -> Iterator[None]:
        """Let each call of BLAS use `threads` threads inside, neither more nor fewer."""
        self._enter(threads)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, threads: int) -> None:
        from threadpoolctl import threadpool_limits

        libraries()  # load them before the limit is set
        with self._changed:
            self._changed.wait_for(lambda: not self._users or self._threads == threads)
            if not self._users:
                self._limits = threadpool_limits(limits=threads, user_api="blas")
                self._threads = threads
            self._users += 1

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            if not self._users and self._limits is not None:
                self._limits.restore_original_limits()
                self._changed.notify_all()
