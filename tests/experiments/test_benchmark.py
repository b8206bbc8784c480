"""The benchmark: the same work for everyone, the same numbers from everyone, one table."""

import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from scripts.benchmarks.contestants import (
    EXACT,
    Disagreement,
    floor,
    on_matrices,
    on_spectrum,
    require_agreement,
)
from scripts.benchmarks.profiling import REST, STAGES
from scripts.benchmarks.speed import main
from scripts.benchmarks.speed_report import Measurement, Target, WorkResult
from scripts.benchmarks.work import WORKS, bert_shapes, draw, ner_shapes
from tests.support.commands import ROOT
from tests.support.scripts import run_main

pytestmark = pytest.mark.newest_python
PUBLISHED = ROOT / "allennlp_analyze" / "data" / "published" / "allennlp_2018.csv"


def benchmark(*arguments):
    # More threads than free cores would make small matrices take seconds.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.speed", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "new" / "numbers.json"
    works = "tiny,tiny-powerlaw"
    done = benchmark("--work", works, "--rounds", "2", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return done.stdout, json.loads(path.read_text())


def contestants(numbers):
    return [(work["work"], one) for work in numbers["works"] for one in work["contestants"]]


def test_the_table_shows_the_medians_of_the_json(measured):
    printed, numbers = measured
    lines = printed.split("\n\n")[1].splitlines()
    assert lines[0].split() == ["work", "contestant", "seconds", "x", "ours"]
    assert len(lines[1:]) == len(contestants(numbers))
    for line, (work, one) in zip(lines[1:], contestants(numbers)):
        *words, seconds, times = line.split()
        assert " ".join(words) == f"{work} {one['contestant']}"
        assert float(seconds) == pytest.approx(one["seconds"], rel=6e-3)
        assert float(times) == pytest.approx(one["times_ours"], rel=6e-3)


def test_every_contestant_ran_in_every_round_but_the_2018_method(measured):
    _, numbers = measured
    assert [work["work"] for work in numbers["works"]] == ["tiny", "tiny-powerlaw"]
    found = {(work, one["contestant"].split(",")[0]): one for work, one in contestants(numbers)}
    assert {method for work, method in found if work == "tiny"} == {"ours", "floor", "svd", "2018"}
    assert {method for work, method in found if work != "tiny"} == {"ours", "powerlaw"}
    for key, one in found.items():
        assert one["rounds"] == (1 if key[1] == "2018" else 2)
        assert 0 < one["min"] <= one["seconds"] <= one["max"]


def test_times_are_multiples_of_ours(measured):
    for work in measured[1]["works"]:
        ours = work["contestants"][0]
        assert ours["contestant"] == "ours"
        for one in work["contestants"]:
            assert one["times_ours"] * ours["seconds"] == pytest.approx(one["seconds"])


def test_the_profile_accounts_for_every_stage(measured):
    printed, numbers = measured
    assert list(numbers["profiles"]) == ["tiny"]
    seconds = numbers["profiles"]["tiny"]["seconds"]
    assert list(seconds) == [*STAGES, REST]
    assert all(value > 0 for value in seconds.values())
    lines = printed.split("Where ours spends its time on tiny, ")[1].splitlines()
    assert float(lines[0].split()[0]) == pytest.approx(sum(seconds.values()), abs=0.006)
    shares = [float(line.split("%")[0].split()[-1]) for line in lines[1 : 1 + len(seconds)]]
    assert sum(shares) == pytest.approx(100, abs=3)


def test_neither_output_names_this_machine(measured):
    printed, numbers = measured
    for text in (printed.split("\nWritten:")[0], json.dumps(numbers)):
        assert os.uname().nodename not in text
        assert str(ROOT) not in text and sys.prefix not in text


def test_the_ner_work_has_the_published_shapes():
    with PUBLISHED.open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "ner"]
    published = sorted((int(row["N"]), int(row["M"])) for row in rows)
    shapes = ner_shapes()
    assert sorted((max(shape), min(shape)) for shape in shapes) == published


def test_bert_base_has_its_110_million_parameters():
    shapes = bert_shapes()
    biases_norms_and_segments = 110e6 - sum(rows * columns for rows, columns in shapes)
    assert 0 < biases_norms_and_segments < 1e6


def drawn(work, seed=2018):
    return draw(WORKS[work], seed)


def test_a_seed_gives_the_same_work_again():
    first, again = drawn("tiny"), drawn("tiny")
    other = drawn("tiny", seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other))


@pytest.mark.parametrize("at_once", [1, 2])
def test_the_floor_finds_the_eigenvalues_in_the_order_of_the_matrices(at_once):
    matrices = drawn("tiny")
    found = floor(matrices, at_once)
    for matrix, eigenvalues in zip(matrices, found):
        values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
        np.testing.assert_allclose(eigenvalues, values**2, rtol=1e-10)


def test_a_work_in_bfloat16_has_the_same_values_for_everyone(tmp_path):
    matrices = drawn("tiny-bfloat16")
    ours, *others = on_matrices(matrices, tmp_path, None, WORKS["tiny-bfloat16"].dtype)
    found = ours.run().found
    for other in others:
        require_agreement(other.label, other.run().found, found, EXACT)


def power_laws(seed):
    """alpha, D and xmin of one matrix: ours, and those of the powerlaw package."""
    ours, theirs = on_spectrum(drawn("tiny-powerlaw", seed)[0])
    return ours.run().found, theirs.run().found, theirs.tolerance


def test_the_same_power_law_agrees():
    ours, theirs, tolerance = power_laws(seed=1)
    require_agreement("powerlaw", theirs, ours, tolerance)
    assert tolerance <= 1e-9


def test_the_power_law_of_other_values_does_not_agree():
    ours, _, tolerance = power_laws(seed=1)
    _, theirs, _ = power_laws(seed=2)
    with pytest.raises(Disagreement, match="powerlaw"):
        require_agreement("powerlaw", theirs, ours, tolerance)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("change", [1e-8, np.nan])
def test_a_difference_in_any_of_the_numbers_is_an_error(number, change):
    ours, theirs, tolerance = power_laws(seed=1)
    theirs[number] = theirs[number] * (1 + change)
    with pytest.raises(Disagreement):
        require_agreement("powerlaw", theirs, ours, tolerance)


def test_a_contestant_that_skips_a_matrix_is_an_error():
    found = floor(drawn("tiny"), 1)
    with pytest.raises(Disagreement):
        require_agreement("floor", found[1:], found, EXACT)
    with pytest.raises(Disagreement):
        require_agreement("floor", [found[0][:0], *found[1:]], found, EXACT)


def result(**seconds):
    measurements = [Measurement(name, name, (s,)) for name, s in seconds.items()]
    return WorkResult(WORKS["tiny"], tuple(measurements))


def test_targets_compare_with_the_fastest_variant():
    found = result(ours=2.0, floor=1.0, svd=8.0)
    faster = Measurement("svd", "svd, faster", (5.0, 4.0, 900.0))
    found = WorkResult(found.work, (*found.measurements, faster))
    assert Target("tiny", "svd", 2.5).reached(found) is True
    assert Target("tiny", "svd", 2.6).reached(found) is False
    assert Target("tiny", "floor", 2.1, at_most=True).reached(found) is True
    assert Target("tiny", "floor", 1.9, at_most=True).reached(found) is False
    assert Target("tiny", "weightwatcher", 1).reached(found) is None


def test_an_interpreter_without_weightwatcher_is_an_error(tmp_path):
    if find_spec("weightwatcher"):
        pytest.skip("weightwatcher is installed here")
    path = tmp_path / "numbers.json"
    peer = ("--weightwatcher-python", sys.executable)
    done = run_main(main, *peer, "--work", "tiny", "--json", path)
    assert done.returncode == 1
    assert done.stderr.startswith("benchmark: WeightWatcher's interpreter ended")
    assert "No module named" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize(("option", "known"), [("--work", "tiny"), ("--without", "svd")])
def test_unknown_names_are_usage_errors(option, known):
    done = run_main(main, option, f"{known},unheard-of")
    assert done.returncode == 2
    assert "unknown name 'unheard-of'" in done.stderr
