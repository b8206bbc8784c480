"""One model on a real Dask cluster: the numbers of one machine, whatever dies on the way."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import allennlp_analyze
from allennlp_analyze.analysis.choosing import with_eigensolver
from allennlp_analyze.analysis.cluster import TASK_SECONDS, Cluster, grouped
from allennlp_analyze.analysis.opened import matrices_of, opened
from allennlp_analyze.analysis.pipeline import run
from allennlp_analyze.analysis.request import Reading, Writing
from allennlp_analyze.cli.main import main
from allennlp_analyze.engine.running import EngineUnusable
from allennlp_analyze.errors import OptionError, UsageError
from allennlp_analyze.linalg import machine
from allennlp_analyze.linalg.backend import BlasThreads, blas_threads
from allennlp_analyze.linalg.machine import seconds
from allennlp_analyze.settings import Settings
from tests.support.commands import ROOT, SMALL, run_module
from tests.support.dask_clusters import DaskProcesses, clusters, dask_processes, kill
from tests.support.http_server import File, HttpServer
from tests.support.killed import done_layers, numbers
from tests.support.scripts import run_main
from tests.support.waiting import wait_until

pytestmark = pytest.mark.newest_python
pytest.importorskip("distributed", reason="the extra `dask` is not installed")

MATRICES, LONG = 8, (17_000, 250)


@pytest.fixture(scope="module")
def cluster():
    """For tests that leave the workers as they were, or anew."""
    yield from clusters()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Matrices so long that each is a task, and small ones that are a task together."""
    rng = np.random.default_rng(0)
    tensors = {
        f"l{i}.weight": rng.standard_normal(LONG, "f4").astype("f2") for i in range(MATRICES)
    }
    tensors.update({f"s{i}.weight": rng.standard_normal((90, 60)).astype("f2") for i in range(4)})
    tensors["nan.weight"] = np.full((30, 20), np.nan, "f4")
    tensors["wide.weight"] = np.ones((400, 350), "f4")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_file(tensors, path)
    return path


SETTINGS = Settings(max_dim=300)
OPTIONS = ("--max-dim", "300", "--quiet", "--no-plots")


@pytest.fixture(scope="module")
def local(model, tmp_path_factory):
    """Everything in the reports of a run on this machine."""
    directory = tmp_path_factory.mktemp("local") / "out"
    command(model, directory)
    return numbers(directory)


def command(model, directory, *more):
    done = run_main(main, model, "--output-dir", directory, *OPTIONS, *more)
    assert done.returncode == 0, done.stderr


def test_each_long_matrix_is_a_task(model):
    shapes = [x.shape for x in chosen(model)]
    plan = list(grouped(shapes, range(len(shapes))))
    assert [len(group) for group, _ in plan] == [1] * (MATRICES - 1) + [1 + 6]


def test_the_reports_are_those_of_one_machine(cluster, model, local, tmp_path):
    command(model, tmp_path / "out", "--dask", cluster.scheduler_address)
    assert numbers(tmp_path / "out") == local
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["layers"]) == MATRICES + 4
    reasons = {x["parameter"]: x["reason"] for x in report["skipped"]}
    assert "NaN" in reasons["nan.weight"] and "max_dim" in reasons["wide.weight"]


def test_a_matrix_that_takes_all_cores_here_has_the_same_bits_there(cluster, tmp_path, monkeypatch):
    """Sums of two threads round differently from those of one, in an SVD for example."""
    rng = np.random.default_rng(1)
    tensors = {f"svd{i}.weight": rng.standard_normal((260, 220)) for i in range(2)}
    tensors["gram.weight"] = rng.standard_normal((900, 500))
    tensors["lost.weight"] = rng.standard_normal((500, 200)) @ rng.standard_normal((200, 400))
    path = tmp_path / "m.safetensors"
    save_file({name: values.astype("f4") for name, values in tensors.items()}, path)
    monkeypatch.setattr(machine, "LARGE_SECONDS", 1e-9)
    many = machine.Machine(10**6, 2**40)
    for name in ("linalg.schedule", "analysis.cluster"):
        monkeypatch.setattr(f"allennlp_analyze.{name}.this_machine", lambda: many)
    monkeypatch.setattr("allennlp_analyze.analysis.cluster.blas_threads", lambda: 2)
    plan = list(grouped([x.shape for x in tensors.values()], range(4)))
    assert [(len(group), threads) for group, threads in plan] == [(1, 2)] * 4
    with BlasThreads().limited_to(2):
        here = allennlp_analyze.analyze(path)
    there = allennlp_analyze.analyze(path, dask=cluster.scheduler_address)
    assert_equal(here, there)


def assert_equal(here, there):
    assert here.to_dict()["layers"] == there.to_dict()["layers"]
    for one, other in zip(here.layers, there.layers):
        np.testing.assert_array_equal(one.singular_values, other.singular_values)


def chosen(model):
    with opened(Reading(str(model))) as source:
        return matrices_of(source, None, SETTINGS).chosen


def test_small_matrices_go_together_and_the_costliest_first():
    shapes = [(60, 40)] * 50 + [(1500, 1400)] + [(700, 500)] * 60
    plan = list(grouped(shapes, range(1, len(shapes))))
    assert sorted(i for group, _ in plan for i in group) == list(range(1, len(shapes)))
    assert plan[0][0][0] == 50
    costs = [sum(seconds(shapes[i]) for i in group) for group, _ in plan]
    assert max(costs[1:]) <= TASK_SECONDS and len(plan) < 10
    one_each = list(grouped(shapes, range(len(shapes)), together=False))
    assert [len(group) for group, _ in one_each] == [1] * len(shapes)


def test_an_archive_is_unpacked_by_each_worker(cluster):
    here = allennlp_analyze.analyze(SMALL)
    there = allennlp_analyze.analyze(SMALL, dask=cluster.scheduler_address)
    assert_equal(here, there)


def test_the_workers_fetch_a_url_by_themselves(cluster, model):
    """Only what they measure; the command fetches the header and the vectors."""
    server = HttpServer()
    server.pages["m.safetensors"] = File(model.read_bytes())
    url = server.url("m.safetensors")
    try:
        here = allennlp_analyze.analyze(url, max_dim=300)
        there = allennlp_analyze.analyze(url, max_dim=300, dask=cluster.scheduler_address)
    finally:
        server.close()
    assert_equal(here, there)


def test_a_worker_killed_midway_loses_its_task_only(cluster, model, local, tmp_path):
    journal, kept = tmp_path / "out" / "journal.jsonl", tmp_path / "kept.jsonl"
    killed = []

    def kill_one():
        wait_until(lambda: done_layers(journal))
        os.link(journal, kept)  # goes on to show what is written after the file is removed
        killed.extend(worker.pid for worker in list(cluster.workers.values())[:1])
        os.kill(killed[0], 9)

    thread = threading.Thread(target=kill_one)
    thread.start()
    writing = Writing(tmp_path / "out")
    run(Reading(str(model)), writing, SETTINGS, dask=cluster.scheduler_address)
    thread.join()
    assert killed
    assert sorted(done_layers(kept)) == list(range(len(chosen(model))))
    found = numbers(tmp_path / "out")
    assert found["singular_values.npz"] == local["singular_values.npz"]
    assert found["layers.csv"] == local["layers.csv"]


def test_when_the_scheduler_is_killed_the_rest_is_done_here_or_on_another_cluster(
    cluster, model, local, tmp_path
):
    out = tmp_path / "out"
    with dask_processes(tmp_path / "dask", workers=1) as processes:
        output = ("--output-dir", str(out))
        running = subprocess.Popen(
            [*MAIN, str(model), *output, *OPTIONS, "--dask", processes.address],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: done_layers(out / "journal.jsonl"), running)
        kill(processes.scheduler)
        said = running.communicate(timeout=100)[1]
    assert running.returncode == 1 and said.count("\n") == 1, said
    before = done_layers(out / "journal.jsonl")
    assert f"{len(before)} matri" in said and "--resume" in said
    for name, more in (("there", ("--dask", cluster.scheduler_address)), ("here", ())):
        again = tmp_path / name
        shutil.copytree(out, again)
        kept = tmp_path / f"{name}.jsonl"
        os.link(again / "journal.jsonl", kept)
        command(model, again, "--resume", *more)
        assert numbers(again) == local
        assert sorted(done_layers(kept)) == list(range(len(chosen(model))))


MAIN = [os.sys.executable, "-m", "allennlp_analyze"]


def measuring(path, address):
    """The generator of what the workers measure of a model that is opened here."""
    reading = Reading(str(path))
    with opened(reading) as source:
        matrices = matrices_of(source, None, Settings()).chosen
        settings = with_eigensolver(Settings(), [x.shape for x in matrices])
        run_on = Cluster(address, reading, settings).measuring(source, None, matrices, settings)
        return run_on(matrices, ())


@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_a_worker_that_sees_another_file_says_which(cluster, tmp_path, change):
    path = tmp_path / "m.safetensors"
    save_file({"a.weight": np.eye(40, 30)}, path)
    results = measuring(path, cluster.scheduler_address)
    if change == "size":
        save_file({"a.weight": np.eye(50, 30)}, path)
    elif change == "time":
        os.utime(path, (1, 1))
    else:
        path.unlink()
    with pytest.raises(EngineUnusable, match=r"the worker on \S+ .*m\.safetensors: ") as error:
        list(results)
    said = {"size": "bytes instead of", "time": "changed at another time", "gone": "no such file"}
    assert said[change] in str(error.value)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """A scheduler; each test begins its own workers and kills them."""
    with dask_processes(tmp_path_factory.mktemp("dask")) as found:
        yield found


def test_a_matrix_that_kills_its_workers_is_left_out_with_the_reason(
    processes: DaskProcesses, tmp_path
):
    path = tmp_path / "m.safetensors"
    names = ("a", "deadly", "b")
    save_file({f"{name}.weight": np.eye(40, 30) for name in names}, path)
    alive = processes.worker("--preload", "tests.support.deadly")

    def replace_the_dead():
        worker = alive
        while not over.wait(0.05):
            if worker.poll() is not None:
                worker = processes.worker("--preload", "tests.support.deadly")

    over = threading.Event()
    thread = threading.Thread(target=replace_the_dead)
    thread.start()
    try:
        report = allennlp_analyze.analyze(path, dask=processes.address)
    finally:
        over.set()
        thread.join()
        stop(processes)
    assert sorted(layer.name for layer in report.layers) == ["a", "b"]
    (left_out,) = report.skipped
    assert left_out.parameter == "deadly.weight" and "worker" in left_out.reason


def stop(processes):
    for worker in processes.workers:
        kill(worker)


@pytest.mark.parametrize("lacks", ["package", "version"])
def test_a_worker_without_the_package_or_with_another_version(
    processes: DaskProcesses, model, tmp_path, lacks
):
    site = tmp_path / "site"
    site.mkdir()
    if lacks == "package":
        (site / "sitecustomize.py").write_text("import sys\nsys.modules['allennlp_analyze'] = None")
        expected = "allennlp_analyze is missing on the Dask workers"
    else:
        (site / "allennlp_analyze").mkdir()
        (site / "allennlp_analyze" / "__init__.py").touch()
        (site / "allennlp_analyze" / "_version.py").write_text("VERSION = '9.9'")
        expected = "a Dask worker has allennlp_analyze 9.9"
    processes.worker(PYTHONPATH=os.pathsep.join((str(site), str(ROOT))))
    try:
        output = ("--output-dir", str(tmp_path / "out"))
        done = run_module(
            "allennlp_analyze", str(model), *output, *OPTIONS, "--dask", processes.address
        )
    finally:
        stop(processes)
    assert done.returncode == 1
    assert expected in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"jobs": 2}, {"cuda_device": 0}])
def test_what_a_cluster_cannot_have_is_refused_before_anything_is_read(wrong):
    with pytest.raises(OptionError, match="this machine only"):
        allennlp_analyze.analyze("missing", dask="tcp://127.0.0.1:9", **wrong)


def test_a_model_in_memory_cannot_go_to_a_cluster():
    with pytest.raises(UsageError, match="dask: only for a path or URL"):
        allennlp_analyze.analyze({"w": np.eye(3)}, dask="tcp://127.0.0.1:9")


def test_threads_that_ask_for_other_numbers_of_blas_threads_take_turns():
    """BLAS has one number for the whole process."""
    gate, found, both = BlasThreads(), [], threading.Barrier(2)

    def work(threads, barrier):
        with gate.limited_to(threads):
            if barrier is not None:
                barrier.wait(30)  # two with the same number are inside at the same time
            found.append((threads, blas_threads()))

    before = blas_threads()
    wanted = [(1, both), (1, both), (2, None)]
    workers = [threading.Thread(target=work, args=one) for one in wanted]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found) == [(1, 1), (1, 1), (2, 2)]
    assert blas_threads() == before


def test_a_worker_gets_the_absolute_path(monkeypatch):
    """A path that is relative here is the same file on a worker, which is in another directory."""
    monkeypatch.chdir(SMALL.parent)
    reading = Cluster("tcp://127.0.0.1:9", Reading(SMALL.name), Settings())._reading
    assert Path(reading.archive) == SMALL
