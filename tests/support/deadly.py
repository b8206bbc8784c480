"""Preloaded by a Dask worker: the process kills itself where it measures the matrix "deadly"."""

import os
import signal
from typing import Any


def dask_setup(_: Any) -> None:
    from allennlp_analyze.analysis import on_worker

    measure = on_worker.measure

    def measure_or_die(matrix: Any, *more: Any) -> Any:
        if matrix.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return measure(matrix, *more)

    on_worker.measure = measure_or_die
