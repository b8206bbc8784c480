"""A plan: what would be analyzed and fetched, from headers alone, and what it would take."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import allennlp_analyze
from allennlp_analyze.analysis.planning import RESULT_BYTES, plan_archive
from allennlp_analyze.analysis.remembered import REMEMBERED
from allennlp_analyze.analysis.request import Limits, Reading
from allennlp_analyze.analysis.trial import SHAPES, this_speed
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import SourceError
from allennlp_analyze.linalg.machine import Machine, memory
from allennlp_analyze.linalg.speed import USUAL, Speed, fitted
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.download.remote_file import FIRST_BYTES
from tests.support.downloads import cached, isolate
from tests.support.http_server import File, HttpServer

pytestmark = pytest.mark.newest_python
SPEED = Speed()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two kinds of matrices, biases and gains; nothing but the header can be read of it."""
    rng = np.random.default_rng(0)
    tensors = {
        "embed_tokens.weight": rng.normal(size=(900, 300)).astype(np.float32),
        "layers.0.linear.weight": rng.normal(size=(700, 300)).astype(np.float32),
        "layers.0.linear.bias": rng.normal(size=700).astype(np.float32),
        "layers.1.linear.weight": rng.normal(size=(300, 700)).astype(np.float32),
        "layers.1.linear.bias": rng.normal(size=300).astype(np.float32),
        "norm.weight": np.ones(300, np.float32),
    }
    save_file(tensors, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def plan(archive: object, **choices: object):
    return plan_archive(Reading(str(archive)), Settings(**choices), speed=SPEED)  # type: ignore[arg-type]


@pytest.mark.parametrize("choices", [{}, {"kinds": ("embedding",)}, {"layers": "layers"}])
def test_it_counts_what_the_analysis_measures(model: Path, choices: dict[str, object]) -> None:
    planned = plan(model, **choices)
    report = allennlp_analyze.analyze(model, **choices).to_dict()  # type: ignore[arg-type]
    shapes = [layer["shape"] for layer in report["layers"]]
    assert planned.matrices == len(shapes)
    assert planned.weights == sum(rows * columns for rows, columns in shapes)
    assert planned.skipped == len(report["skipped"])
    kinds = {kind.kind: kind.matrices for kind in planned.kinds}
    assert kinds == {
        kind: sum(layer["kind"] == kind for layer in report["layers"]) for kind in kinds
    }
    assert sum(planned.share(kind) for kind in planned.kinds) == pytest.approx(1)
    assert planned.fetched == planned.remote == 0


def test_only_the_header_of_a_file_is_read(model: Path) -> None:
    """The values may be anything: here, they are those of a hole in the file."""
    expected = plan(model)
    size = model.stat().st_size
    with model.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        file.truncate(8 + length)
        file.truncate(size)
    assert plan(model) == expected


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        ({}, None),
        ({"layers": r"layers\.1"}, ("layers.1.linear.weight", "layers.1.linear.bias")),
        ({"kinds": ("embedding",)}, ("embed_tokens.weight",)),
    ],
)
def test_the_bytes_to_download_are_those_that_are_fetched(
    server: HttpServer, model: Path, choices: dict[str, object], names: "tuple[str, ...] | None"
) -> None:
    server.pages["m.safetensors"] = File(model.read_bytes())
    url = server.url("m.safetensors")
    planned = plan(url, **choices)
    assert (server.sent_bytes, server.count("GET")) == (FIRST_BYTES, 1)
    with model.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    places = [header[name]["data_offsets"] for name in names or header if name != "__metadata__"]
    assert planned.fetched == sum(stop - start for start, stop in places)
    assert planned.remote == sum(
        entry["data_offsets"][1] - entry["data_offsets"][0] for entry in header.values()
    )
    server.sent_bytes = 0
    allennlp_analyze.analyze(url, **choices)  # type: ignore[arg-type]
    assert abs(server.sent_bytes - planned.fetched) <= FIRST_BYTES
    assert cached() == []


def test_what_must_be_downloaded_is_not(server: HttpServer, tmp_path: Path) -> None:
    torch.save({"w": torch.eye(30)}, tmp_path / "m.pt")
    server.pages["m.pt"] = File((tmp_path / "m.pt").read_bytes())
    with pytest.raises(SourceError, match="its header alone cannot be read; use cache=True"):
        plan(server.url("m.pt"))
    assert server.count("GET") == 0
    reading = Reading(server.url("m.pt"), limits=Limits(cache=True))
    assert plan_archive(reading, Settings(), speed=SPEED).matrices == 1


def test_matrices_that_are_too_large_are_named(model: Path) -> None:
    planned = plan(model, max_dim=200, kinds=("embedding", "linear"))
    assert planned.matrices == 0
    assert planned.too_large == ("embed_tokens", "layers.0.linear", "layers.1.linear")


def test_memory_grows_with_the_matrices_at_a_time(tmp_path: Path) -> None:
    wide = {f"{i}.weight": np.zeros((2000, 1500), np.float32) for i in range(4)}
    save_file(wide, tmp_path / "m.safetensors")
    one, two = (plan(tmp_path / "m.safetensors", jobs=jobs).memory for jobs in (1, 2))
    assert two - one == memory((2000, 1500))


def test_memory_grows_with_the_number_of_results(tmp_path: Path) -> None:
    found = []
    for count in (10, 1010):
        small = {f"{i}.weight": np.zeros((20, 10), np.float32) for i in range(count)}
        save_file(small, tmp_path / f"{count}.safetensors")
        found.append(plan(tmp_path / f"{count}.safetensors").memory)
    assert found[1] - found[0] == 1000 * (RESULT_BYTES + 8 * 10)


def test_the_command_prints_it_and_stops(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(model), "--plan"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"3 matrices of 690,000 weights to analyze; 3 tensors are skipped", out)
    assert re.search(r"^linear +2 +420,000 +\d+%$", out, re.MULTILINE)
    assert re.search(r"^time      about (a second|\d+ s), \d+ at a time on \d+ cores?; ", out, re.M)
    assert re.search(r"^memory    up to \d+ MB$", out, re.MULTILINE)
    assert re.search(r"^download  nothing$", out, re.MULTILINE)
    assert not (tmp_path / "analysis").exists()
    assert main([str(model), "--plan", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["matrices"], shown["weights"], shown["fetched"]) == (3, 690_000, 0)
    assert sum(kind["share"] for kind in shown["kinds"]) == pytest.approx(1)


def test_the_speed_is_measured_once(tmp_path: Path) -> None:
    found = this_speed(Settings())
    assert this_speed(Settings()) == found  # a second measurement would differ
    path = tmp_path / "cache-root" / REMEMBERED
    path.write_text("damaged")
    assert min(this_speed(Settings()).factors) >= 0
    path.unlink()
    path.mkdir()  # it cannot be written
    assert min(this_speed(Settings()).factors) >= 0


def test_the_factors_are_found_again_from_seconds() -> None:
    speed = Speed(tuple(2.5 * x for x in USUAL))
    again = fitted(SHAPES, [speed.seconds(shape) for shape in SHAPES])
    assert again.factors == pytest.approx(speed.factors)


@pytest.mark.parametrize("factor", [0.3, 0.7, 1.5, 4.0])
def test_a_faster_or_slower_machine_is_told_by_small_matrices(factor: float) -> None:
    """Every term of the cost is `factor` times the usual one, and errors of 10% are made."""
    speed = Speed(tuple(factor * x for x in USUAL))
    for seed in range(20):
        errors = np.random.default_rng(seed).uniform(0.9, 1.1, len(SHAPES))
        again = fitted(SHAPES, [e * speed.seconds(shape) for e, shape in zip(errors, SHAPES)])
        for shape in ((768, 768), (4096, 4096), (30_000, 768)):
            assert 0.8 < again.seconds(shape) / speed.seconds(shape) < 1.25


def test_the_time_is_shared_by_the_cores() -> None:
    machine = Machine(4, 2**40)
    shapes = [(500, 400)] * 40
    one, four = (Speed().total(shapes, jobs, machine) for jobs in (1, 4))
    assert one == pytest.approx(4 * four) == pytest.approx(40 * Speed().seconds(shapes[0]))
    # One large matrix alone takes all cores; two small ones not more than they are.
    large = (6000, 6000)
    assert Speed().total([large], 4, machine) == pytest.approx(Speed().seconds(large) / 4)
    assert Speed().total(shapes[:2], 4, machine) == pytest.approx(Speed().seconds(shapes[0]))
