"""What the tests of the engines let workers do: functions that a new process can import."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Task:
    """`value` is squared; on the way the worker may die, fail, or leave notes in `notes`.

    With `meets` it goes on only when so many have begun.
    """

    value: int
    dies: bool = False
    fails: bool = False
    seconds: float = 0.0
    notes: Optional[Path] = None
    meets: int = 0


def square(task: Task) -> int:
    if task.notes is not None:
        began = time.monotonic()
        (task.notes / f"begun-{task.value}").touch()
        while len(list(task.notes.glob("begun-*"))) < task.meets:
            if time.monotonic() > began + PATIENCE:
                raise TimeoutError(f"{task.value} is alone")
            time.sleep(0.01)
        time.sleep(task.seconds)
        note = f"{task.value} {os.getpid()} {began} {time.monotonic()}\n"
        with (task.notes / "notes").open("a") as file:
            file.write(note)
    else:
        time.sleep(task.seconds)
    if task.dies:
        os.kill(os.getpid(), signal.SIGKILL)
    if task.fails:
        raise ValueError(f"{task.value} fails")
    return task.value**2


def surroundings(_: Task) -> dict[str, object]:
    """What a worker finds: its share of the machine, and BLAS's threads as they come out."""
    import numpy  # noqa: F401  # loads BLAS, as every analysis does
    from threadpoolctl import threadpool_info

    from allennlp_analyze.linalg.machine import this_machine

    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"cores": this_machine().cores, "blas": pools}


def linger(task: Task) -> None:
    """Work until terminated; then leave the note "cleaned"."""
    assert task.notes is not None
    (task.notes / str(os.getpid())).touch()
    try:
        time.sleep(PATIENCE)
    finally:
        (task.notes / "cleaned").touch()
