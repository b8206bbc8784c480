"""Ends every command: turns errors and signals into one line on stderr and an exit code."""

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Callable

from allennlp_analyze.cli.wording import spelled
from allennlp_analyze.errors import AnalyzeError, Message
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.text.redaction import redacted

INTERRUPTED = 130
TERMINATED = 143
EXIT_CODES = (
    "Exit codes: 0 done, 1 the archive or the output failed, 2 usage, 130 interrupted,"
    " 143 terminated."
)


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM: ends the run like Ctrl-C, with all cleanup."""


def guarded(action: Callable[[], int], subject: str, debug: bool = False) -> int:
    """Run `action` and return its exit code, or that of the error that stopped it.

    An error becomes one line. `subject` is the user's argument, used in the message for unexpected
    errors; `debug` adds the traceback.
    """
    try:
        with _terminating():
            return action()
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
    except Exception as error:  # a bug: still one line, and computed results are kept
        where = "" if debug else "; please report this with the traceback that --debug shows"
        _say(f"{subject}: unexpected {type(error).__name__}: {error}{where}", debug)
        return 1


def _hint(interrupt: KeyboardInterrupt) -> str:
    """Returns the message of the interrupt about kept results, worded for the command line."""
    said = interrupt.args[0] if interrupt.args else ""
    text = said.worded(spelled) if isinstance(said, Message) else str(said)
    return f"; {text}" if text else ""


def finish(code: int) -> int:
    """Returns `code`, or ends the process if a thread still computes after an interrupt.

    BLAS cannot be stopped, and crashes if it is unloaded while it runs. All cleanup is done by
    then.
    """
    from allennlp_analyze.linalg.schedule import THREAD

    if any(thread.name == THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _say(error: object, debug: bool) -> None:
    if debug:
        print(redacted(traceback.format_exc()), end="", file=sys.stderr)
    print(f"error: {one_line(error)}", file=sys.stderr)


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
