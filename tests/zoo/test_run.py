"""Many models by the real command: failures, duplicates, resumption, and the same reports."""

import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze.cli.main import main
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.run import ZooRequest, run_zoo
from tests.support.commands import ONE_THREAD, ROOT
from tests.support.scripts import run_main
from tests.support.zoo_archives import (
    outcomes,
    reports,
    run_zoo_command,
    same,
    state,
    write_archive,
    zoo_here,
)

pytestmark = pytest.mark.newest_python
NAMES = ("north/a", "north/b", "south/c")


@pytest.fixture
def models(tmp_path):
    return written(tmp_path / "models")


def written(folder):
    """Three archives in two folders."""
    for seed, name in enumerate(NAMES):
        write_archive(folder / f"{name}.tar.gz", seed)
    return folder


@pytest.fixture
def zoo(tmp_path):
    return tmp_path / "zoo"


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder with three archives in `models`, analyzed by the command into `zoo`."""
    folder = tmp_path_factory.mktemp("first")
    done = run_zoo_command(
        folder / "tmp", written(folder / "models"), "--output-dir", folder / "zoo"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copied(first, zoo):
    """The directory of the first zoo, to change it."""
    return shutil.copytree(first / "zoo", zoo)


def test_every_file_is_written_and_each_report_is_that_of_the_single_command(first, tmp_path):
    zoo = first / "zoo"
    expected = {"index.html", "zoo.json", "zoo.csv", "zoo-models.csv", "models"}
    assert {path.name for path in zoo.iterdir()} == expected
    assert set(outcomes(zoo)) == set(NAMES)
    assert [model["group"] for model in outcomes(zoo).values()] == ["north", "north", "south"]
    for name, layers in reports(zoo).items():
        single = tmp_path / "single" / name
        archive = first / "models" / f"{name}.tar.gz"
        options = ("--output-dir", single, "--no-plots", "--quiet")
        assert run_main(main, archive, *options).returncode == 0
        assert same(layers, load_report(single).layers)


@pytest.mark.no_cover
def test_figures_are_drawn_on_request_and_old_ones_do_not_stay(zoo, tmp_path):
    models = tmp_path / "models"
    for seed, name in enumerate("ab"):
        write_archive(models / f"{name}.tar.gz", seed, layers=1)

    def drawn(*options):
        done = zoo_here(models, "--output-dir", zoo, "--quiet", *options)
        assert done.returncode == 0, done.stderr
        every = sorted(path.suffix for path in (zoo / "plots").glob("*"))
        return every, sorted({path.parts[-3] for path in (zoo / "models").glob("*/plots/*.*")})

    assert drawn("--plots") == ([".png"] * 6, [])
    (zoo / "plots" / "mine.txt").write_text("x")
    assert drawn("--resume", "--plot-format", "svg") == ([".svg"] * 6 + [".txt"], [])
    assert drawn("--resume") == ([".txt"], [])
    (zoo / "plots" / "mine.txt").unlink()
    slugs = sorted(path.name for path in (zoo / "models").iterdir())
    assert drawn("--resume", "--model-plots") == ([".png"] * 6, slugs)


def test_a_model_that_fails_is_recorded_and_the_rest_go_on(models, zoo):
    broken = models / "south" / "broken.tar.gz"
    broken.write_bytes((models / "south" / "c.tar.gz").read_bytes()[:1000])
    done = zoo_here(models, "--output-dir", zoo)
    assert done.returncode == 1
    assert "south/broken" in done.stdout
    found = outcomes(zoo)
    assert {name for name, model in found.items() if model["status"] == "done"} == set(NAMES)
    failed = found["south/broken"]
    assert failed["status"] == "failed"
    assert "broken.tar.gz" in failed["reason"] and "\n" not in failed["reason"]
    assert "Traceback" not in done.stderr + done.stdout
    assert len(state(zoo)) == 3


def test_a_zoo_is_not_replaced_by_accident(first, copied):
    zoo, models = copied, first / "models"
    before = state(zoo)
    again = zoo_here(models, "--output-dir", zoo, "--quiet")
    assert again.returncode == 1
    assert "--resume" in again.stderr and len(again.stderr.splitlines()) == 1
    assert state(zoo) == before
    forced = zoo_here(models, "--output-dir", zoo, "--quiet", "--force")
    assert forced.returncode == 0
    assert all(state(zoo)[name] > before[name] for name in before)


def test_resuming_does_only_what_is_missing_or_changed(models, zoo):
    zoo_here(models, "--output-dir", zoo, "--quiet")
    before = state(zoo)
    write_archive(models / "north" / "b.tar.gz", seed=17)
    write_archive(models / "south" / "new.tar.gz", seed=18)
    done = zoo_here(models, "--output-dir", zoo, "--resume", "--quiet")
    assert done.returncode == 0, done.stderr
    after = state(zoo)
    (changed,) = [name for name in before if after[name] != before[name]]
    assert changed == outcomes(zoo)["north/b"]["directory"].split("/")[1]
    assert len(after) == 4


def test_other_options_are_another_request(first, copied):
    """The same ones are the same: nothing is analyzed again."""
    zoo, models = copied, first / "models"
    before = state(zoo)
    zoo_here(models, "--output-dir", zoo, "--quiet", "--resume")
    assert state(zoo) == before
    zoo_here(models, "--output-dir", zoo, "--quiet", "--resume", "--layers", "layer_0")
    assert all(state(zoo)[name] != before[name] for name in before)
    assert {len(layers) for layers in reports(zoo).values()} == {1}


def test_failures_stay_until_they_are_to_be_tried_again(zoo, tmp_path):
    """A server that did not answer shows in no file."""
    served = tmp_path / "served"
    served.mkdir()
    save_file({"w": np.eye(8, 4, dtype=np.float32)}, served / "model.safetensors")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=served), False
    )
    server.server_bind()  # without listening yet
    manifest = tmp_path / "zoo.csv"
    address = f"http://127.0.0.1:{server.server_port}/model.safetensors"
    manifest.write_text(f"name,url\nmodel,{address}\n")
    first = zoo_here(manifest, "--output-dir", zoo, "--quiet")
    assert first.returncode == 1
    server.server_activate()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        second = zoo_here(manifest, "--output-dir", zoo, "--quiet", "--resume")
        assert second.returncode == 1
        assert outcomes(zoo)["model"]["status"] == "failed"
        third = zoo_here(manifest, "--output-dir", zoo, "--quiet", "--retry-failed")
        assert third.returncode == 0, third.stderr
        assert outcomes(zoo)["model"]["status"] == "done"
    finally:
        server.shutdown()
        server.server_close()


def test_duplicates_are_named_and_counted_once(models, zoo):
    """The same file under another name; the same weights in another file."""
    shutil.copy(models / "north" / "a.tar.gz", models / "south" / "copy.tar.gz")
    write_archive(models / "south" / "packed.tar.gz", seed=1, level=1)
    done = zoo_here(models, "--output-dir", zoo)
    assert done.returncode == 0
    same_as = {name: model["duplicate_of"] for name, model in outcomes(zoo).items()}
    assert same_as == {**dict.fromkeys(NAMES), "south/copy": "north/a", "south/packed": "north/b"}
    totals = json.loads((zoo / "zoo.json").read_text())["totals"]
    assert (totals["n_models"], totals["n_duplicates"], totals["n_counted"]) == (5, 2, 3)
    assert "south/copy" in done.stdout and "north/a" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("missing.yaml",), 2, "missing.yaml"),
        (("--workers", "0", "fixtures"), 2, "--workers"),
        (("--workers", "2", "--dask", "tcp://127.0.0.1:1", "fixtures"), 2, "--dask"),
        (("--force", "--resume", "fixtures"), 2, "--force"),
        (("--kinds", "fantasy", "fixtures"), 2, "--kinds"),
        (("--output-dir", "setup.py/zoo", "fixtures"), 1, "setup.py"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, arguments, code, says):
    monkeypatch.chdir(ROOT)
    done = run_main(main, "zoo", *arguments)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert says in line
    assert not done.stdout


def test_the_shell_script_goes_on_and_tries_again_what_failed(zoo, tmp_path):
    models = tmp_path / "models"
    broken = models / "broken.tar.gz"
    write_archive(models / "whole.tar.gz", seed=0)
    broken.write_bytes(b"")
    script = [
        str(ROOT / "scripts" / "study" / "analyze_zoo.sh"),
        str(models),
        "--output-dir",
        str(zoo),
        *("--workers", "1"),
    ]
    variables = {**os.environ, "PYTHON": sys.executable, **ONE_THREAD}
    assert subprocess.run(script, cwd=ROOT, env=variables, capture_output=True).returncode == 1
    before = state(zoo)
    assert len(before) == 1
    write_archive(broken, seed=9)
    done = subprocess.run(script, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (zoo / "plots").is_dir()
    assert len(state(zoo)) == 2 and before.items() <= state(zoo).items()


def test_the_archives_of_a_release_are_a_zoo_with_the_numbers_of_the_oracle(corpus, tmp_path):
    """Every Linear layer, as the method of 2018 found it; tests/analysis has all releases."""
    request = ZooRequest(str(corpus.root / "v0.8.0"), tmp_path / "zoo", workers=1)
    report = run_zoo(request, Settings()).report
    of_release = [name for name in corpus.oracle if name.startswith("v0.8.0/")]
    assert not report.failed and len(report.models) == len(of_release)
    checked = 0
    for model in report.models:
        facts = corpus.oracle[f"v0.8.0/{model.name}.tar.gz"]
        assert model.outcome.sha256 == facts["sha256"]
        layers = {layer.name: layer for layer in model.outcome.layers}
        for row in facts.get("linear", []):
            name, m, n, smallest = row[1], row[2], row[3], (row + [None] * 3)[6]
            layer = layers.get(name)
            if layer is None or smallest is None:
                continue
            assert (layer.M, layer.N) == (m, n)
            # Theirs is float32's.
            assert layer.min_singular_value == pytest.approx(smallest, rel=1e-3, abs=1e-5)
            checked += 1
    assert checked > 10


def test_the_library_gives_what_it_writes(models, zoo):
    outcome = run_zoo(ZooRequest(str(models), zoo, workers=1), Settings(kinds=("linear",)))
    assert [model.name for model in outcome.report.models] == list(NAMES)
    assert all(path.exists() for path in outcome.written)
    assert outcome.report.settings["kinds"] == ["linear"]
    assert outcome.report.claims
