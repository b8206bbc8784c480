"""A worker process of a zoo's run: what it sets up before numpy is there, and how it ends."""

import contextlib
import os
import signal
import sys
import threading
from multiprocessing import parent_process
from typing import Callable, TypeVar

from allennlp_analyze.linalg.machine import Machine, use_share

Result = TypeVar("Result")
# As a shell reports a process that SIGTERM ended.
TERMINATED = 143
# What BLAS libraries read when they are loaded.
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "BLIS_NUM_THREADS")

_at_work = False


def start(share: Machine) -> None:
    """Make this process a worker that takes no more than `share` of the machine.

    Ctrl-C is its parent's to handle; SIGTERM ends it, and so does the parent's death, with its
    temporary files removed.
    """
    use_share(share)
    for name in THREADS:
        os.environ[name] = str(share.cores)
    if "numpy" in sys.modules:  # the user's own script imports it
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=share.cores, user_api="blas")
    from tqdm import tqdm

    # Its own lock is shared by processes: one that ends at once would leave it to be cleared away.
    tqdm.set_lock(threading.RLock())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def whole(work: Callable[[], Result]) -> Result:
    """What `work` returns. Terminated, the process ends here and now: BLAS may be at work in a
    thread, which nothing stops, and crashes where it is unloaded."""
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
    """A pool's worker would wait forever for a parent that was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        with contextlib.suppress(OSError):
            os.kill(os.getpid(), signal.SIGTERM)
