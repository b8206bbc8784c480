"""Ends every command: turns errors and signals into one line on stderr and an exit code."""

import contextlib
import errno
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Callable, Optional

from allennlp_analyze.cli.wording import spelled
from allennlp_analyze.errors import AnalyzeError, Message, SourceError
from allennlp_analyze.text.lines import excerpt, one_line
from allennlp_analyze.text.redaction import redacted

INTERRUPTED = 130
TERMINATED = 143
EXIT_CODES = (
    "Exit codes: 0 done, 1 the archive or the output failed, 2 usage, 3 a check failed,"
    " 130 interrupted, 143 terminated."
)


# What libraries say that could not be loaded, and threads that could not be started.
_OUT_OF_MEMORY = (
    "failed to map segment",
    "annot allocate memory",
    "can't start new thread",
    "nable to allocate",
)
# numpy, scipy and matplotlib with their libraries; measured with numpy 1.26 and 2.4.
LEAST_ADDRESS_SPACE = 384 << 20
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_MOST_OF_SUBJECT = 200
ENDING_SECONDS = 0.5


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM: ends the run like Ctrl-C, with all cleanup."""


def guarded(action: Callable[[], int], subject: str, debug: bool = False) -> int:
    """Run `action` and return its exit code, or that of the error that stopped it.

    An error becomes one line. `subject` is the user's argument, used in the message for unexpected
    errors; `debug` adds the traceback.
    """
    _open_missing()
    try:
        with _terminating():
            _check_address_space()
            code = action()
            sys.stdout.flush()  # a full disk shows only here
            return code
    except AnalyzeError as error:
        _say(error.worded(spelled), debug)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        terminated = isinstance(interrupt, Terminated)
        _say(f"{'terminated' if terminated else 'interrupted'}{_hint(interrupt)}", debug)
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:
        # The reader of the output is gone, as in `... | head`, so there is nothing to print.
        sys.stderr.close()
        return 1
    except Exception as error:
        reason = _reason(error)
        if reason is not None:
            _say(f"{one_line(subject, _MOST_OF_SUBJECT)}: {reason}", debug)
            return 1
        # A bug: still one line, and computed results are kept.
        where = "" if debug else "; please report this with the traceback that --debug shows"
        _say(f"{subject}: unexpected {type(error).__name__}: {error}{where}", debug)
        return 1


def _check_address_space() -> None:
    """Raise `SourceError` where OpenBLAS would wait for memory for ever instead of failing."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise SourceError(
            f"there is not enough memory: the address space is limited to {limit >> 20} MiB"
            f" (ulimit -v), and at least {LEAST_ADDRESS_SPACE >> 20} MiB are needed"
        )


def _reason(error: Exception) -> Optional[str]:
    """What the machine or the input lacks, wherever in the work it showed; None for a bug."""
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return "there is not enough memory; free some, or raise the limit of this process"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError) and error.errno is not None:
        file = error.filename
        name = os.fsdecode(file) if isinstance(file, (str, bytes)) else ""
        if error.errno in _FULL:
            return f"{excerpt(name) or 'the output'} cannot be written ({error.strerror})"
        what = f"{excerpt(name)} cannot be read or written" if name else "reading or writing failed"
        return f"{what} ({error.strerror})"
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a library, or a thread, did not start for lack of memory."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error)
    return isinstance(error, (ImportError, OSError, RuntimeError)) and any(
        sign in text for sign in _OUT_OF_MEMORY
    )


def _hint(interrupt: KeyboardInterrupt) -> str:
    """Returns the message of the interrupt about kept results, worded for the command line."""
    said = interrupt.args[0] if interrupt.args else ""
    text = said.worded(spelled) if isinstance(said, Message) else str(said)
    return f"; {text}" if text else ""


def _computes(name: str) -> bool:
    """Whether a thread of this `name` still runs; one that is just ending is waited for."""
    deadline = time.monotonic() + ENDING_SECONDS
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(max(deadline - time.monotonic(), 0))
            if thread.is_alive():
                return True
    return False


def finish(code: int) -> int:
    """Returns `code`, or ends the process if a thread still computes after an interrupt.

    BLAS cannot be stopped, and crashes if it is unloaded while it runs. All cleanup is done by
    then.
    """
    schedule = sys.modules.get("allennlp_analyze.linalg.schedule")  # None: no thread has started
    if schedule is not None and _computes(schedule.THREAD):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _open_missing() -> None:
    """Lead standard streams that the shell closed (`>&-`) to nowhere: Python has None there."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _say(error: object, debug: bool) -> None:
    _drop_unwritten()
    with contextlib.suppress(OSError, ValueError):  # a full disk again: the exit code remains
        if debug:
            print(redacted(traceback.format_exc()), end="", file=sys.stderr)
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.stderr.flush()


def _drop_unwritten() -> None:
    """Send what standard output cannot take to nowhere: Python would fail on it again at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the main thread, where Python handles signals."""

    def terminate(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
