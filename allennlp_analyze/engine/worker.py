"""A worker process: its setup before numpy is imported, and its end."""

import contextlib
import os
import signal
import sys
import threading
from multiprocessing import parent_process
from typing import Callable, TypeVar

from allennlp_analyze.linalg.machine import BLAS_VARIABLES, Machine, use_share

Result = TypeVar("Result")
# The exit code that a shell reports for a process killed by SIGTERM.
TERMINATED = 143

_at_work = False


def start(share: Machine) -> None:
    """Make this process a worker that uses at most `share` of the machine.

    The parent handles Ctrl-C. SIGTERM and the death of the parent end the worker, after it has
    removed its temporary files.
    """
    use_share(share)
    for name in BLAS_VARIABLES:
        os.environ[name] = str(share.cores)
    if "numpy" in sys.modules:  # the user's own script imported it
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=share.cores, user_api="blas")
    from tqdm import tqdm

    # tqdm's own lock is shared between processes; one that ends at once would leave it behind.
    tqdm.set_lock(threading.RLock())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def result_or_exit(work: Callable[[], Result]) -> Result:
    """Returns the result of `work`. On SIGTERM the process exits at once.

    A thread may be running BLAS, which cannot be stopped and crashes when it is unloaded.
    """
    global _at_work
    try:
        _at_work = True
        return work()
    except KeyboardInterrupt:
        os._exit(TERMINATED)
    finally:
        _at_work = False


def _terminate(*_: object) -> None:
    if _at_work:
        raise KeyboardInterrupt
    os._exit(TERMINATED)


def _end_with_parent() -> None:
    """End this process when its parent dies; a pool's worker would wait for it forever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        with contextlib.suppress(OSError):
            os.kill(os.getpid(), signal.SIGTERM)
