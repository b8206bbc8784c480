"""The engine on a Dask cluster, whose workers may join, leave and die at any time."""

import importlib.metadata
import logging
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze.errors import OptionError, SourceError
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.text.redaction import redacted_url

if TYPE_CHECKING:
    from distributed import Client

PACKAGE = "allennlp_analyze"
# Seconds to wait for the scheduler to answer, and for a first worker to join.
CONNECT_SECONDS = 15.0
WORKER_SECONDS = 60.0
# Items to submit per worker thread, so that no thread waits for us.
AHEAD = 2
ASK_SECONDS = 5.0


class Dask:
    """The cluster whose scheduler is at `address`.

    Its workers need this package in this version. The cluster decides which worker takes a model,
    how often it retries a model whose worker died (`distributed.scheduler.allowed-failures`), and
    how much memory a worker has. Raises `OptionError` if distributed is not installed.
    """

    room: Optional[int] = None

    def __init__(self, address: str) -> None:
        try:
            from distributed import KilledWorker
        except ImportError:
            raise OptionError(
                "dask", "the package distributed is missing (pip install '.[dask]')"
            ) from None
        self.died: tuple[type[BaseException], ...] = (KilledWorker,)
        self._address = address
        self._named = redacted_url(address)
        self._client: Optional[Client] = None
        self._threads = 0
        self._asked = 0.0

    def slots(self) -> int:
        """Some more than the current number of threads of all workers."""
        assert self._client is not None
        if time.monotonic() - self._asked > ASK_SECONDS:
            self._threads = sum(self._client.nthreads().values())
            self._asked = time.monotonic()
        return AHEAD * max(self._threads, 1)

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        with self._connected() as client:
            self._client = client
            self._check_workers(client)
            executor = client.get_executor(pure=False)
            try:
                yield executor
            except BaseException:
                executor.shutdown(wait=False)  # cancels work that has not started
                raise

    def _connected(self) -> "Client":
        from distributed import Client
        from distributed.comm.addressing import parse_address
        from distributed.comm.registry import get_backend

        # distributed logs its own text for errors that become one line here.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        try:
            # A client that never knew its scheme prints a traceback when Python ends.
            get_backend(parse_address(self._address)[0])
            return Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SourceError(
                f"{self._named}: no Dask scheduler answers there ({one_line(error, 200)})"
            ) from None

    def _check_workers(self, client: "Client") -> None:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
            versions = client.run(importlib.metadata.version, PACKAGE)
        except importlib.metadata.PackageNotFoundError:
            raise SourceError(
                f"{self._named}: {PACKAGE} is missing on the Dask workers; install it there"
            ) from None
        except TimeoutError:
            raise SourceError(f"{self._named}: no worker has joined the Dask scheduler") from None
        others = sorted({version for version in versions.values() if version != VERSION})
        if others:
            raise SourceError(
                f"{self._named}: a Dask worker has {PACKAGE} {others[0]}, expected {VERSION};"
                " install the same version everywhere"
            )
