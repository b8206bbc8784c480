"""The engine on a Dask cluster, whose workers may join, leave and die at any time."""

import logging
import pickle
import pkgutil
import secrets
import time
import weakref
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze.engine.running import EngineLost, EngineUnusable
from allennlp_analyze.errors import OptionError
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.text.redaction import redacted_url

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as Remote

PACKAGE = "allennlp_analyze"
OWN_VERSION = f"{PACKAGE}._version:VERSION"
# Seconds to wait for the scheduler to answer, and for a first worker to join.
CONNECT_SECONDS = 15.0
WORKER_SECONDS = 60.0
MOST_OF_REASON = 200
# Items to submit per worker thread, so that no thread waits for us.
AHEAD = 2
ASK_SECONDS = 5.0
# Seconds without any worker, or without an answer of the scheduler, after which a run ends.
NO_WORKER_SECONDS = 120.0


class Dask:
    """The cluster whose scheduler is at `address`.

    Its workers need this package in this version. The cluster decides which worker takes a model,
    how often it retries a model whose worker died (`distributed.scheduler.allowed-failures`), and
    how much memory a worker has. Raises `OptionError` if distributed is not installed.
    """

    room: Optional[int] = None
    patience: Optional[float] = ASK_SECONDS

    def __init__(self, address: str) -> None:
        try:
            from distributed import KilledWorker
        except ImportError:
            raise OptionError(
                "dask", "the package distributed is missing (pip install 'allennlp_analyze[dask]')"
            ) from None
        self.died: tuple[type[BaseException], ...] = (KilledWorker,)
        self._address = address
        self._named = redacted_url(address)
        self._client: Optional[Client] = None
        self._threads = 0
        self._asked = 0.0
        self._seen = 0.0

    def slots(self) -> int:
        """Some more than the current number of threads of all workers.

        Raises `EngineLost` if the scheduler does not answer, or has had no worker for long.
        """
        now = time.monotonic()
        if now - self._asked > ASK_SECONDS:
            self._threads = self._asked_threads()
            self._asked = time.monotonic()
            self._seen = self._asked if self._threads else self._seen
            if self._asked - self._seen > NO_WORKER_SECONDS:
                raise EngineLost(f"{self._named}: the Dask scheduler has no workers any more")
        return AHEAD * max(self._threads, 1)

    def _asked_threads(self) -> int:
        assert self._client is not None
        try:
            return sum(self._client.nthreads().values())
        except Exception as error:  # of distributed, or of the network, or a client that is closing
            raise self._gone(error) from None

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        with self._connected() as client:
            self._client = client
            self._check_workers(client)
            self._seen = time.monotonic()
            executor = _Workers(client)
            try:
                yield executor
            except BaseException:
                executor.shutdown(wait=False)
                raise

    def _connected(self) -> "Client":
        from distributed import Client
        from distributed.comm.addressing import parse_address
        from distributed.comm.registry import get_backend

        # distributed logs its own text for errors that become one line here, in loggers that have
        # their own levels.
        for name in list(logging.root.manager.loggerDict):
            if name.partition(".")[0] == "distributed":
                logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            # A client that never knew its scheme prints a traceback when Python ends.
            get_backend(parse_address(self._address)[0])
            return Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise EngineUnusable(
                f"{self._named}: no Dask scheduler answers there ({reason(error)})"
            ) from None

    def _gone(self, error: Exception) -> EngineLost:
        return EngineLost(f"{self._named}: the Dask scheduler is gone ({reason(error)})")

    def _check_workers(self, client: "Client") -> None:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
            # A function of Python itself: one of this package could not even arrive without it.
            found = client.run(pkgutil.resolve_name, OWN_VERSION, on_error="return").values()
        except TimeoutError:
            text = f"{self._named}: no worker has joined the Dask scheduler"
            raise EngineUnusable(text) from None
        except Exception as error:  # of distributed, or of the network
            raise self._gone(error) from None
        if any(isinstance(x, ImportError) for x in found):
            raise EngineUnusable(
                f"{self._named}: {PACKAGE} is missing on the Dask workers; install it there"
            )
        # The error of a worker that has just died is none of the others.
        others = sorted({x for x in found if isinstance(x, str) and x != VERSION})
        if others:
            raise EngineUnusable(
                f"{self._named}: a Dask worker has {PACKAGE} {others[0]}, expected {VERSION};"
                " install the same version everywhere"
            )


def reason(error: BaseException) -> str:
    """Returns the text of an error of Dask as part of a line."""
    return one_line(error, MOST_OF_REASON) or type(error).__name__


class _Workers(Executor):
    """The workers of a cluster as an executor.

    `Client.get_executor` is not used: a worker that dies between a result's arrival and its
    reading gives a `TypeError` there. `Client.gather` has the work done again.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._remotes: weakref.WeakSet[Remote] = weakref.WeakSet()

    def submit(self, work: Callable[..., Any], /, *args: Any, **keywords: Any) -> "Future[Any]":
        call = _Call(partial(work, *args, **keywords))
        key = f"{PACKAGE}-{secrets.token_hex(16)}"
        remote = self._client.submit(pickle.loads, pickle.dumps(call), key=key, pure=False)
        self._remotes.add(remote)
        here: Future[Any] = Future()
        self._client.loop.add_callback(self._pass_on, remote, here)
        return here

    async def _pass_on(self, remote: "Remote", here: "Future[Any]") -> None:
        """A future whose work neither ended nor failed is lost with the scheduler: cancelled."""
        try:
            here.set_result(await self._client.gather(remote, asynchronous=True))
        except BaseException as error:
            if remote.status == "error":
                here.set_exception(error)
            else:
                here.cancel()
                here.set_running_or_notify_cancel()  # wakes those who wait for it

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel the work that has not started, unless it is waited for by the caller."""
        if not wait or cancel_futures:
            self._client.cancel(list(self._remotes))


class _Call:
    """A call as bytes that make it when they are unpickled, by functions of Python alone.

    Dask's scheduler unpickles what is submitted, and a worker that cannot do so ends. Here neither
    needs this package to pass a call on: it fails by itself on a worker that lacks it. A worker
    logs the arguments of what fails; compressed, a URL with a password is not among them.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    def __reduce__(self) -> "tuple[Callable[..., Any], tuple[Any, ...]]":
        return pickle.loads, (_Compressed(pickle.dumps(_Made(self._work))),)


class _Made:
    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    def __reduce__(self) -> "tuple[Callable[..., Any], tuple[Any, ...]]":
        return self._work, ()


class _Compressed:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> "tuple[Callable[..., Any], tuple[Any, ...]]":
        return zlib.decompress, (zlib.compress(self._data),)
