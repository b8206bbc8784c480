"""A zoo on a real Dask cluster of two worker processes; one is killed midway."""

import os
import signal
import threading

import pytest

from allennlp_analyze.errors import SourceError
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.engine.dask import Dask
from allennlp_analyze.zoo.engine.processes import EngineLost, WorkerDied, completed
from allennlp_analyze.zoo.manifest.reading import Choices, ZooEntry
from allennlp_analyze.zoo.run import ZooRequest, run_zoo
from allennlp_analyze.zoo.unit import Token, analyze_anywhere, make_unit, receive
from tests.support.commands import run_module
from tests.support.http_server import File, HttpServer
from tests.support.waiting import wait_until
from tests.support.zoo_archives import finished, outcomes, write_archive
from tests.support.zoo_work import Task, square

pytestmark = pytest.mark.newest_python
distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")


@pytest.fixture(scope="module")
def shared_cluster():
    """For tests that leave the workers as they were, or anew."""
    yield from clusters()


@pytest.fixture
def cluster():
    yield from clusters()


def clusters():
    """Two workers of one thread each; a task whose worker dies is tried once more."""
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as found:
            yield found


@pytest.fixture
def models(tmp_path):
    for seed in range(8):
        write_archive(
            tmp_path / "models" / f"m{seed}.tar.gz", seed, layers=6, shape=(700, 500), level=0
        )
    return tmp_path / "models"


def layers(zoo, name):
    return load_report(zoo / outcomes(zoo)[name]["directory"]).layers


def test_a_worker_killed_midway_costs_nothing_but_its_own_work(shared_cluster, models, tmp_path):
    zoo = tmp_path / "zoo"
    killed = []

    def kill():
        wait_until(lambda: finished(zoo))
        pids = {name: worker.pid for name, worker in shared_cluster.workers.items()}
        killed.append(next(iter(pids.values())))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    outcome = run_zoo(
        ZooRequest(str(models), zoo, dask=shared_cluster.scheduler_address), Settings()
    )
    thread.join()
    assert killed and len(finished(zoo)) == 8
    assert not outcome.report.failed
    local = tmp_path / "local"
    run_zoo(ZooRequest(str(models), local, workers=1), Settings())
    for name in outcomes(local):
        assert layers(zoo, name) == layers(local, name)


def test_a_failing_model_is_recorded_where_it_was_analyzed(shared_cluster, models, tmp_path):
    (models / "m3.tar.gz").write_bytes(b"no archive")
    zoo = tmp_path / "zoo"
    report = run_zoo(
        ZooRequest(str(models), zoo, dask=shared_cluster.scheduler_address), Settings()
    ).report
    (failed,) = report.failed
    assert failed.name == "m3" and "m3.tar.gz" in failed.outcome.reason
    assert len(report.counted) == 7


def test_an_item_that_kills_every_worker_is_given_up(shared_cluster):
    engine = Dask(shared_cluster.scheduler_address)
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


def test_archives_by_url_are_read_by_the_workers(models, tmp_path, monkeypatch):
    """One of them is not there: only it fails."""
    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path / "cache"))
    server = HttpServer()
    for name in ("m0", "m1"):
        server.pages[f"{name}.tar.gz"] = File((models / f"{name}.tar.gz").read_bytes())
    manifest = tmp_path / "zoo.csv"
    rows = [f"{name},{server.url(f'{name}.tar.gz')}" for name in ("m0", "m1", "gone")]
    manifest.write_text("\n".join(["name,url", *rows]))
    try:
        for cluster in clusters():  # begun now, so that its workers have the cache
            request = ZooRequest(str(manifest), tmp_path / "zoo", dask=cluster.scheduler_address)
            report = run_zoo(request, Settings()).report
    finally:
        server.close()
    assert [model.name for model in report.counted] == ["m0", "m1"]
    (failed,) = report.failed
    assert failed.name == "gone" and "404" in failed.outcome.reason


def test_without_a_scheduler_the_error_names_the_address(models, tmp_path, monkeypatch):
    monkeypatch.setattr("allennlp_analyze.zoo.engine.dask.CONNECT_SECONDS", 1.0)
    with pytest.raises(SourceError, match="tcp://127.0.0.1:9: no Dask scheduler answers there"):
        run_zoo(ZooRequest(str(models), tmp_path / "zoo", dask="tcp://127.0.0.1:9"), Settings())


def test_an_address_of_no_known_scheme_is_one_line_to_the_end(models, tmp_path):
    output = ("--output-dir", str(tmp_path / "zoo"))
    done = run_module("allennlp_analyze", "zoo", str(models), "--dask", "nope://x", *output)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: nope://x: no Dask scheduler answers there")


def test_a_worker_that_does_not_see_the_directory_sends_the_files(models, tmp_path):
    """The same function that a worker runs, told of a directory that is not there."""
    directory = tmp_path / "zoo" / "models" / "m0"
    unit = make_unit(ZooEntry("m0", str(models / "m0.tar.gz")), Choices(), directory)
    returned = analyze_anywhere(Token(tmp_path / "elsewhere", "secret"), unit)
    assert not directory.exists()
    assert "report.json" in returned.files
    outcome = receive(returned, unit)
    assert outcome.status == "done"
    assert len(load_report(directory).layers) == 6
    here = tmp_path / "token"
    here.write_text("secret")
    again = analyze_anywhere(Token(here, "secret"), unit)
    assert not again.files
    assert again.outcome.weights == outcome.weights
