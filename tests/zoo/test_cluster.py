"""A zoo on a real Dask cluster of two worker processes; one is killed midway."""

import os
import signal
import threading

import pytest

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.engine.running import EngineUnusable
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.manifest.reading import Choices, ZooEntry
from allennlp_analyze.zoo.run import ZooRequest, run_zoo
from allennlp_analyze.zoo.unit import Token, analyze_anywhere, make_unit, receive
from tests.support.commands import run_module
from tests.support.dask_clusters import clusters
from tests.support.http_server import File, HttpServer
from tests.support.waiting import wait_until
from tests.support.zoo_archives import finished, outcomes, write_archive

pytestmark = pytest.mark.newest_python
pytest.importorskip("distributed", reason="the extra `dask` is not installed")


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory):
    """For tests that leave the workers as they were, or anew; they have a cache of their own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path_factory.mktemp("cache")))
        yield from clusters()


@pytest.fixture
def models(tmp_path):
    for seed in range(4):
        write_archive(tmp_path / "models" / f"m{seed}.tar.gz", seed)
    return tmp_path / "models"


def layers(zoo, name):
    return load_report(zoo / outcomes(zoo)[name]["directory"]).layers


def test_a_worker_killed_midway_costs_nothing_but_its_own_work(shared_cluster, models, tmp_path):
    """The large model is in work while the first of the others is done."""
    write_archive(models / "large.tar.gz", 5, layers=12, shape=(900, 700), level=0)
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
    assert killed and len(finished(zoo)) == 5
    assert not outcome.report.failed
    for name in outcomes(zoo):
        local = analyze_archive(Reading(str(models / f"{name}.tar.gz")), Settings(jobs=1))
        assert layers(zoo, name) == local.layers


def test_a_failing_model_is_recorded_where_it_was_analyzed(shared_cluster, models, tmp_path):
    (models / "m3.tar.gz").write_bytes(b"no archive")
    zoo = tmp_path / "zoo"
    report = run_zoo(
        ZooRequest(str(models), zoo, dask=shared_cluster.scheduler_address), Settings()
    ).report
    (failed,) = report.failed
    assert failed.name == "m3" and "m3.tar.gz" in failed.outcome.reason
    assert len(report.counted) == 3


def test_archives_by_url_are_read_by_the_workers(shared_cluster, models, tmp_path):
    """One of them is not there: only it fails."""
    server = HttpServer()
    for name in ("m0", "m1"):
        server.pages[f"{name}.tar.gz"] = File((models / f"{name}.tar.gz").read_bytes())
    manifest = tmp_path / "zoo.csv"
    rows = [f"{name},{server.url(f'{name}.tar.gz')}" for name in ("m0", "m1", "gone")]
    manifest.write_text("\n".join(["name,url", *rows]))
    try:
        address = shared_cluster.scheduler_address
        request = ZooRequest(str(manifest), tmp_path / "zoo", dask=address)
        report = run_zoo(request, Settings()).report
    finally:
        server.close()
    assert [model.name for model in report.counted] == ["m0", "m1"]
    (failed,) = report.failed
    assert failed.name == "gone" and "404" in failed.outcome.reason


def test_without_a_scheduler_the_error_names_the_address(models, tmp_path, monkeypatch):
    monkeypatch.setattr("allennlp_analyze.engine.dask.CONNECT_SECONDS", 1.0)
    with pytest.raises(EngineUnusable, match="tcp://127.0.0.1:9: no Dask scheduler answers there"):
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
    assert len(load_report(directory).layers) == 2
    here = tmp_path / "token"
    here.write_text("secret")
    again = analyze_anywhere(Token(here, "secret"), unit)
    assert not again.files
    assert again.outcome.weights == outcome.weights
