"""The engines: what is begun when, and what becomes of work whose process dies."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from allennlp_analyze.engine.processes import Processes
from allennlp_analyze.engine.running import WorkerDied, completed
from allennlp_analyze.linalg.machine import Machine, available_memory, this_machine, use_share
from tests.support.commands import ROOT
from tests.support.engine_work import Task, linger, square
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.newest_python


def results(tasks, workers=2, sizes=None, room=None, work=square):
    """What became of each task: its result, or the class of its exception."""
    engine = Processes(workers)
    if room is not None:
        engine.room = room
    found = {}
    for index, result in completed(work, tasks, sizes or [0] * len(tasks), engine):
        assert index not in found
        try:
            found[index] = result()
        except Exception as error:
            found[index] = type(error)
    return [found[index] for index in range(len(tasks))]


def times(directory):
    """(value, began, ended) of each task that left a note."""
    lines = (directory / "notes").read_text().splitlines()
    return [(int(v), float(began), float(ended)) for v, _, began, ended in map(str.split, lines)]


def most_at_once(notes):
    return max(sum(b <= began < e for _, b, e in notes) for _, began, _ in notes)


def test_every_item_has_its_own_result():
    tasks = [Task(value, fails=value == 3) for value in range(7)]
    assert results(tasks) == [0, 1, 4, ValueError, 16, 25, 36]


def test_nothing_to_do():
    assert results([]) == []


@pytest.mark.parametrize(("workers", "deadly"), [(1, (1,)), (2, (2, 5))])
def test_a_death_costs_only_its_own_item(workers, deadly):
    tasks = [Task(value, dies=value in deadly, seconds=0.05) for value in range(7)]
    expected = [WorkerDied if value in deadly else value**2 for value in range(7)]
    assert results(tasks, workers) == expected


def test_every_worker_dies():
    assert results([Task(value, dies=True) for value in range(2)]) == [WorkerDied] * 2


def test_no_more_at_once_than_workers(tmp_path):
    tasks = [Task(value, seconds=0.05, notes=tmp_path, meets=2) for value in range(6)]
    assert results(tasks, workers=2) == [value**2 for value in range(6)]
    assert most_at_once(times(tmp_path)) == 2


def test_the_next_begins_only_when_it_fits(tmp_path):
    """Four of 3 bytes in a room of 8: two at a time, whatever the workers; one of 9 alone."""
    tasks = [Task(value, seconds=0.05, notes=tmp_path) for value in range(5)]
    results(tasks, workers=4, sizes=[3, 3, 9, 3, 3], room=8)
    notes = times(tmp_path)
    assert most_at_once(notes) <= 2
    ((_, began, ended),) = [note for note in notes if note[0] == 2]
    assert not [v for v, b, e in notes if v != 2 and b < ended and e > began]


def test_what_fits_does_begin(tmp_path):
    tasks = [Task(value, notes=tmp_path, meets=2) for value in range(2)]
    assert results(tasks, workers=2, sizes=[3, 3], room=6) == [0, 1]


def test_the_largest_come_first(tmp_path):
    tasks = [Task(value, notes=tmp_path) for value in range(5)]
    results(tasks, workers=1, sizes=[5, 1, 4, 2, 3])
    assert [value for value, _, _ in sorted(times(tmp_path), key=lambda note: note[1])] == [
        0,
        2,
        4,
        3,
        1,
    ]


def run_script(path, text, *arguments):
    """Start `text` as a user's script: what a test imports, its workers would import too."""
    path.write_text(text)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        variables.pop(name, None)
    return subprocess.Popen(
        [sys.executable, str(path), *map(str, arguments)],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    )


SHARES = """
from tests.support.engine_work import Task, surroundings
if __name__ == "__main__":
    import json
    from allennlp_analyze.engine.processes import Processes
    from allennlp_analyze.engine.running import completed
    found = completed(surroundings, [Task(0)], [0], Processes(64))
    print(json.dumps([result() for _, result in found]))
"""


@pytest.mark.parametrize("early", ["", "import numpy\n"])
def test_workers_share_the_cores(tmp_path, early):
    with run_script(tmp_path / "script.py", early + SHARES) as process:
        (found,) = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert found == {"cores": 1, "blas": [1]}


def test_a_share_is_never_more_than_the_machine():
    whole = this_machine()
    try:
        use_share(Machine(1, 2**20))
        assert this_machine() == Machine(1, 2**20)
        use_share(Machine(10**6, 2**62))
        assert this_machine() == whole
    finally:
        use_share(whole)


def test_available_memory_is_some_of_the_machine():
    assert 2**26 < available_memory() <= this_machine().memory


def test_when_the_caller_stops_the_workers_end_and_clean_up(tmp_path):
    engine = Processes(2)
    found = completed(linger, [Task(0, notes=tmp_path)] * 2 + [Task(1)], [0, 0, 0], engine)
    with pytest.raises(KeyboardInterrupt):
        interrupt_when(found, lambda: len([p for p in tmp_path.iterdir() if p.name.isdigit()]) == 2)
    assert (tmp_path / "cleaned").exists()
    for process in tmp_path.iterdir():
        if process.name.isdigit():
            assert not is_alive(int(process.name))


def interrupt_when(found, condition):
    """Go through `found` until `condition`, then as Ctrl-C does."""

    def press():
        try:
            wait_until(condition)
        finally:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        for _ in found:
            pass
    finally:
        thread.join()


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


LINGERS = """
from tests.support.engine_work import Task, linger
if __name__ == "__main__":
    import pathlib, sys
    from allennlp_analyze.engine.processes import Processes
    from allennlp_analyze.engine.running import completed
    tasks = [Task(0, notes=pathlib.Path(sys.argv[1]))]
    list(completed(linger, tasks, [0], Processes(1)))
"""


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    with run_script(tmp_path / "script.py", LINGERS, notes) as parent:
        wait_until(lambda: any(notes.iterdir()))
        (worker,) = [int(path.name) for path in notes.iterdir()]
        parent.kill()
    wait_until(lambda: not is_alive(worker))
    assert (notes / "cleaned").exists()
