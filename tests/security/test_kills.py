"""Killed before any change of its directory, a run leaves one report or none, and is resumed.

`make torture` kills at every event instead of some, again and again, and prints what it did.
"""

import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze import load
from allennlp_analyze.cli.main import main
from tests.support.killed import done_layers, numbers, run_killed
from tests.support.scripts import run_main

pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.skipif(os.name == "nt", reason="signals and process groups of POSIX"),
]
MATRICES = 6
# Seconds that `make torture` takes; without it some events of each kind of run are enough.
TORTURE = float(os.environ.get("TORTURE", "0"))
EVENTS_IN_CI = 3
# Of one run, how many events follow the one before which report.json alone is not yet replaced.
AFTER_REPORTS = 6
# Kinds of runs that share the time.
KINDS = 4
# The last events replace the reports, which is where a mixture could arise.
LATE = 14
QUIET = ("--quiet", "--no-plots", "--jobs", "1")


def model(path: Path, size: float) -> Path:
    """Write a model whose largest singular values say which one it is."""
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"l{i}.weight": size * rng.standard_normal((40, 20)) for i in range(MATRICES)}, path)
    return path


def sizes(directory: Path) -> "set[bool]":
    """Which of the two models the layers of the report and the table are of."""
    report = load(directory)  # refuses spectra of another run
    rows = (directory / "layers.csv").read_text().splitlines()
    column = rows[0].split(",").index("max_singular_value")
    table = {float(row.split(",")[column]) > 1000 for row in rows[1:]}
    entries = json.loads((directory / "report.json").read_text())["layers"]
    table |= {entry["max_singular_value"] > 1000 for entry in entries}
    return {layer.max_singular_value > 1000 for layer in report.layers} | table


def events(total: int, seed: int, in_ci: int, always: "tuple[int, ...]" = ()) -> "Iterator[int]":
    """Numbers of events to kill at: `in_ci`, and `always`, or all as long as there is time."""
    rng = random.Random(seed)
    numbers = list(range(1, total + 1))
    if not TORTURE:
        late = numbers[-LATE:]
        yield from sorted({*rng.sample(late, in_ci - 1), rng.choice(numbers[:-LATE]), *always})
        return
    rng.shuffle(numbers)
    until = time.monotonic() + TORTURE / KINDS
    while time.monotonic() < until:
        yield from (number for number in numbers if time.monotonic() < until)


def check_resumed(tmp_path: Path, out: Path, expected: "dict[str, Any]", *arguments: object) -> int:
    """Resume the run in `out`; returns how many layers were kept."""
    journal, kept = out / "journal.jsonl", tmp_path / "kept.jsonl"
    kept.unlink(missing_ok=True)
    before = done_layers(journal)
    if journal.is_file():
        os.link(journal, kept)  # goes on to show what is written after the file is removed
    done = run_main(main, *arguments, "--resume")
    if not before and done.returncode == 1:  # nothing to resume beside an earlier report
        assert "a report already exists" in done.stderr
        done = run_main(main, *arguments, "--force")
    assert done.returncode == 0, done.stderr
    assert numbers(out) == expected
    hidden = sorted(path.name for path in out.iterdir() if path.name.startswith("."))
    assert hidden == []
    indexes = done_layers(kept)
    assert len(set(indexes)) == len(indexes)
    if before:
        assert sorted(indexes) == list(range(MATRICES))
    return len(before)


@pytest.mark.parametrize("replaces", [False, True], ids=["new", "force"])
def test_a_run_that_is_killed_anywhere(tmp_path: Path, replaces: bool) -> None:
    old = model(tmp_path / "old" / "m.safetensors", 1)
    new = model(tmp_path / "new" / "m.safetensors", 1000)
    start, out = tmp_path / "start", tmp_path / "out"
    if replaces:
        done = run_main(main, old, "--output-dir", start, *QUIET)
        assert (done.returncode, done.stderr) == (0, "")
    arguments = (new, "--output-dir", out, *QUIET)
    first = (*arguments, "--force") if replaces else arguments
    fresh(start, out)
    code, total, _ = run_killed(tmp_path / "work", out, 0, *first)
    assert code == 0
    expected = numbers(out)
    kills = kept = 0
    almost = total - AFTER_REPORTS
    for at in events(total, replaces, EVENTS_IN_CI - 1, (almost,)):
        fresh(start, out)
        run_killed(tmp_path / "work", out, at, *first)
        kills += 1
        if at == almost:
            assert (out / "report.html").exists() and not (out / "report.json").exists()
        if (out / "report.json").exists():
            assert sizes(out) in ({False}, {True}), at
        kept += check_resumed(tmp_path, out, expected, *arguments)
    print(
        f"{'--force' if replaces else 'new'}: {kills} kills at {total} events, {kept} layers kept"
    )


def fresh(start: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    if start.exists():
        shutil.copytree(start, out)


def test_a_zoo_that_is_killed_anywhere(tmp_path: Path) -> None:
    for name, size in (("a", 1.0), ("b", 100.0)):
        model(tmp_path / f"{name}.safetensors", size)
    manifest = tmp_path / "zoo.csv"
    manifest.write_text("name,path\na,a.safetensors\nb,b.safetensors\n")
    out = tmp_path / "out"
    arguments = ("zoo", manifest, "--output-dir", out, "--quiet", "--workers", "1")
    code, total, said = run_killed(tmp_path / "work", out, 0, *arguments)
    assert code == 0, said
    expected = {name: numbers(out / "models" / name) for name in "ab"}
    kills = kept = 0
    for at in events(total, seed=2, in_ci=2):
        shutil.rmtree(out, ignore_errors=True)
        run_killed(tmp_path / "work", out, at, *arguments)
        kills += 1
        before = finished(out)
        links = {name: linked(tmp_path, out, name) for name in "ab"}
        done = run_main(main, *arguments, "--resume")
        assert done.returncode == 0, (at, done.stderr)
        assert {name: numbers(out / "models" / name) for name in "ab"} == expected
        for name, times in before.items():
            kept += MATRICES
            assert (out / "models" / name / "report.json").stat().st_mtime_ns == times
        for name, journal in links.items():
            indexes = done_layers(journal)
            assert len(set(indexes)) == len(indexes), (at, name)
    print(f"zoo: {kills} kills at {total} events, {kept} layers kept")


def test_a_series_that_is_killed_anywhere(tmp_path: Path) -> None:
    """The same command again goes on; a journal may be that of the run before."""
    names = ("step-1.safetensors", "step-2.safetensors")
    for size, name in enumerate(names, 1):
        model(tmp_path / "run" / name, size)
    out = tmp_path / "out"
    arguments = ("series", tmp_path / "run", "--output-dir", out, "--quiet", "--workers", "1")
    code, total, said = run_killed(tmp_path / "work", out, 0, *arguments)
    assert code == 0, said

    def story() -> "dict[str, Any]":
        contents = json.loads((out / "series.json").read_text())
        for one in (contents, *contents["checkpoints"]):
            del one["seconds"]
        page = (out / "series.html").read_text()
        return {**contents, "page": re.sub(r"<dt>seconds</dt><dd>[^<]+", "", page)}

    expected = story(), {name: numbers(out / "checkpoints" / name) for name in names}
    kills = kept = 0
    for at in events(total, seed=3, in_ci=2):
        shutil.rmtree(out, ignore_errors=True)
        run_killed(tmp_path / "work", out, at, *arguments)
        kills += 1
        before = finished(out, "checkpoints")
        done = run_main(main, *arguments)
        assert done.returncode == 0, (at, done.stderr)
        assert (story(), {x: numbers(out / "checkpoints" / x) for x in names}) == expected, at
        for name, times in before.items():
            kept += MATRICES
            assert (out / "checkpoints" / name / "report.json").stat().st_mtime_ns == times
    print(f"series: {kills} kills at {total} events, {kept} layers kept")


def finished(out: Path, folder: str = "models") -> "dict[str, int]":
    """When the reports of the models with an outcome were written."""
    found = out.glob(f"{folder}/*/outcome.json")
    return {path.parent.name: (path.parent / "report.json").stat().st_mtime_ns for path in found}


def linked(tmp_path: Path, out: Path, name: str) -> Path:
    journal, kept = out / "models" / name / "journal.jsonl", tmp_path / f"kept-{name}"
    kept.unlink(missing_ok=True)
    if journal.is_file():
        os.link(journal, kept)
    return kept
