"""The library for eigenvalues of a run: asked for, found by a trial, or that of an earlier run."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze.analysis.choosing import fastest_of, with_eigensolver
from allennlp_analyze.analysis.pipeline import run
from allennlp_analyze.analysis.remembered import REMEMBERED
from allennlp_analyze.analysis.request import Reading, Writing
from allennlp_analyze.errors import OptionError, OutputError
from allennlp_analyze.linalg.eigensolvers import (
    AUTO,
    EIGENSOLVERS,
    MKL,
    NUMPY,
    OPENBLAS,
    Eigensolver,
    candidates,
    usual,
)
from allennlp_analyze.linalg.tridiagonal import Eigenvalues
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.settings import Settings
from tests.support.commands import ROOT, read_report, run_module
from tests.support.downloads import isolate

pytestmark = pytest.mark.newest_python
OTHER = NUMPY if usual() == OPENBLAS else OPENBLAS
SHAPES = [(4096, 4096)] * 20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which trials are remembered, of each test alone."""
    isolate(tmp_path, monkeypatch)
    return tmp_path / "cache-root" / REMEMBERED


def solvers(**times: int) -> "dict[str, Eigensolver]":
    """Libraries that take so many times as long as the usual one; 0 for one that is missing."""
    solve = EIGENSOLVERS[usual()].find()
    assert solve is not None

    def find(repeats: int) -> Optional[Eigenvalues]:
        def slowly(matrix: np.ndarray) -> np.ndarray:
            return [solve(matrix) for _ in range(repeats)][-1]

        return slowly if repeats else None

    return {
        name: Eigensolver(name, lambda repeats=repeats: find(repeats), "")  # type: ignore[misc]
        for name, repeats in times.items()
    }


def fastest(names: Sequence[str] = (usual(), OTHER), **times: int) -> str:
    return fastest_of(names, 1, solvers(**times), size=400)


def test_the_faster_one_is_found_once(cache: Path) -> None:
    assert fastest(**{usual(): 4, OTHER: 1}) == OTHER
    known = cache.read_text()
    # Another trial would find the other one.
    assert fastest(**{usual(): 1, OTHER: 4}) == OTHER
    assert cache.read_text() == known
    assert fastest((OTHER, usual()), **{usual(): 1, OTHER: 4}) == usual()  # another question
    assert len(json.loads(cache.read_text())) == 2
    # What has gone since is not used.
    assert fastest(**{usual(): 1, OTHER: 0}) == usual()


@pytest.mark.parametrize("text", ["damaged", "[]", "{}"])
def test_what_cannot_be_read_is_found_again(cache: Path, text: str) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text(text)
    assert fastest(**{usual(): 4, OTHER: 1}) == OTHER
    assert len(json.loads(cache.read_text())) == 1


def test_seconds_that_cannot_be_are_measured_again(cache: Path) -> None:
    assert fastest(**{usual(): 4, OTHER: 1}) == OTHER
    (key,) = json.loads(cache.read_text())
    others: list[object] = [{usual(): [1.0], OTHER: []}, {usual(): ["1"]}, {"other": [0.1]}]
    others.append({OTHER: [1.0], usual(): None})
    for wrong in ([], {OTHER: [1.0]}, {usual(): 1.0}, *others):
        cache.write_text(json.dumps({key: wrong}))
        assert fastest(**{usual(): 4, OTHER: 1}) == OTHER


def test_a_missing_library_is_not_tried() -> None:
    assert fastest(**{usual(): 4, OTHER: 0}) == usual()


def test_only_long_work_on_large_matrices_is_worth_a_trial(cache: Path) -> None:
    for shapes in ([(4096, 4096)], [(1500, 1500)] * 500, []):
        assert with_eigensolver(Settings(), shapes).eigensolver == usual()
    assert with_eigensolver(Settings(max_dim=2000), SHAPES).eigensolver == usual()
    assert with_eigensolver(Settings(cuda_device=0), SHAPES).eigensolver == usual()
    assert not cache.exists()
    if len(candidates()) == 1:
        pytest.skip("there is one library only")
    seconds = {name: [1.0] for name in candidates()}
    fastest_of(candidates(), 1, solvers(**dict.fromkeys(candidates(), 1)), size=400)
    (key,) = json.loads(cache.read_text())
    for fastest in [name for name in candidates() if EIGENSOLVERS[name].find()]:
        cache.write_text(json.dumps({key: {**seconds, fastest: [0.5]}}))
        assert with_eigensolver(Settings(), SHAPES).eigensolver == fastest
        assert with_eigensolver(Settings(jobs=1), SHAPES).eigensolver == fastest


def test_a_resumed_run_goes_on_with_the_library_of_the_first() -> None:
    for name, expected in ((OTHER, OTHER), ("no library", usual()), (7, usual()), (None, usual())):
        if expected in EIGENSOLVERS and EIGENSOLVERS[expected].find():
            earlier = {"settings": {"eigensolver": name}}
            assert with_eigensolver(Settings(), [], earlier).eigensolver == expected
    assert with_eigensolver(Settings(), [], {"settings": 3}).eigensolver == usual()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    rng = np.random.default_rng(0)
    save_file({f"l{i}.weight": rng.standard_normal((90, 60)) for i in range(3)}, path)
    return path


def test_the_library_is_part_of_the_journal_s_key(model: Path, tmp_path: Path) -> None:
    out = Writing(tmp_path / "out")

    def stop(report: ModelReport) -> None:
        assert report.settings["eigensolver"] == NUMPY
        (out.directory / "report.json").unlink()  # as if it had been interrupted before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Reading(str(model)), out, Settings(eigensolver=NUMPY), on_written=stop)
    again = Writing(tmp_path / "out", resume=True)
    if usual() != NUMPY:
        with pytest.raises(OutputError, match="other settings"):
            run(Reading(str(model)), again, Settings(eigensolver=usual()))
    report = run(Reading(str(model)), again, Settings(eigensolver=AUTO)).report
    assert report.settings["eigensolver"] == NUMPY
    assert read_report(out.directory)["settings"]["eigensolver"] == NUMPY


@pytest.mark.parametrize("command", ["", "--plan", "zoo", "series"])
def test_a_library_that_is_not_there_is_refused_before_anything_is_read(
    model: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    place = model if command in ("", "--plan") else tmp_path
    if command == "series":
        (tmp_path / "step-1").mkdir()
        place = model.rename(tmp_path / "step-1" / model.name).parent.parent
    arguments = [*([command] if command else []), str(place), "--output-dir", str(tmp_path / "out")]
    done = run_module(
        "allennlp_analyze", *arguments, "--eigensolver", "mkl", PYTHONPATH=path, cwd=tmp_path
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: --eigensolver: 'mkl' is not available here: ")
    assert not (tmp_path / "out").exists()


def test_it_is_refused_by_the_library_as_well() -> None:
    missing = [name for name in EIGENSOLVERS if not EIGENSOLVERS[name].find()]
    for name in missing:
        with pytest.raises(OptionError, match="eigensolver"):
            with_eigensolver(Settings(eigensolver=name), [])
    assert MKL in EIGENSOLVERS
