"""The engine on a real Dask cluster of two worker processes."""

import threading

import pytest

from allennlp_analyze.engine.dask import Dask
from allennlp_analyze.engine.running import EngineLost, WorkerDied, completed
from tests.support.dask_clusters import clusters, dask_processes, kill
from tests.support.engine_work import Task, square

pytestmark = pytest.mark.newest_python
pytest.importorskip("distributed", reason="the extra `dask` is not installed")


@pytest.fixture(scope="module")
def cluster():
    """The second of its tests takes its scheduler away."""
    yield from clusters()


def test_an_item_that_kills_every_worker_is_given_up(cluster):
    engine = Dask(cluster.scheduler_address)
    tasks = [Task(value, dies=value == 1) for value in range(4)]
    found = {}
    for index, result in completed(square, tasks, [0] * 4, engine):
        try:
            found[index] = result()
        except WorkerDied:
            found[index] = "died"
    assert found == {0: 0, 1: "died", 2: 4, 3: 9}


def test_a_scheduler_that_goes_away_ends_the_run(cluster):
    engine = Dask(cluster.scheduler_address)
    threading.Timer(2.0, cluster.close).start()
    with pytest.raises(EngineLost):
        for _ in completed(
            square, [Task(value, seconds=30) for value in range(4)], [0] * 4, engine
        ):
            pass


def test_when_no_worker_is_left_the_run_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("allennlp_analyze.engine.dask.NO_WORKER_SECONDS", 1.0)
    with dask_processes(tmp_path, workers=1) as processes:
        threading.Timer(3.0, kill, processes.workers).start()
        with pytest.raises(EngineLost, match="has no workers any more"):
            for _ in completed(square, [Task(1, seconds=60)], [0], Dask(processes.address)):
                pass
