"""Dask clusters of worker processes on this machine, which end with the test."""

import os
from collections.abc import Iterator
from typing import Any

from tests.support.commands import ROOT


def clusters(workers: int = 2, threads: int = 1) -> Iterator[Any]:
    """Worker processes that see this checkout; a task whose worker dies is tried once more."""
    import dask
    from distributed import LocalCluster

    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # the workers inherit it
    try:
        with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
            with LocalCluster(
                n_workers=workers,
                threads_per_worker=threads,
                dashboard_address=":0",
                silence_logs=50,
            ) as found:
                yield found
    finally:
        os.environ.pop("PYTHONPATH")
        if path is not None:
            os.environ["PYTHONPATH"] = path
