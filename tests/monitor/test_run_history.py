"""The history of a run in a file: what is written, read again, joined over resumes."""

import json
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.monitor import read_run_history
from tests.support.torch_trainings import TOO_STRONG, epochs, network, sgd

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.newest_python


def test_every_check_is_a_line_that_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = network()
    optimizer = sgd(model, TOO_STRONG)
    monitor = RankMonitor(model, optimizer=optimizer, stop=True, history=path)
    checks = [monitor.step(0, 0)]
    for epoch in epochs(model, optimizer, 12):
        checks.append(monitor.step(epoch, 40 * epoch))
    history = read_run_history(path)
    assert history.layers == ("0", "2") and len(history.checks) == len(checks) == 13
    for check, kept in zip(checks, history.checks):
        assert (kept.epoch, kept.step, kept.stop) == (check.epoch, check.step, check.stop)
        assert [x.layer for x in kept.layers] == [x.layer for x in check.readings]
        for reading, point in zip(check.readings, kept.layers):
            assert (point.kind, point.M, point.verdict, point.lost) == (
                reading.kind,
                reading.M,
                reading.verdict,
                reading.lost,
            )
            for name in ("null_ratio", "stable_rank", "effective_rank", "alpha", "spectral_norm"):
                expected = getattr(reading, name)
                assert getattr(point, name) == (
                    None if expected is None else pytest.approx(expected, rel=1e-5)
                )
            assert (point.learning_rate, point.weight_decay) == (0.05, TOO_STRONG)
            assert point.update is None
        said = [(one.reading.layer, one.state, one.since, one.sentence) for one in check.collapses]
        assert said == [(x.layer, x.verdict, x.since, x.sentence) for x in kept.warnings]
    assert any(check.warnings for check in history.checks)
    # The root mean square against the start.
    (_, first), *_, (_, last) = history.of("0")
    weight = model[0].weight.detach().double()
    assert last.rms == pytest.approx(float(weight.square().mean().sqrt()), rel=1e-5)
    assert first.rms_ratio == 1.0 and last.rms is not None and first.rms is not None
    assert last.rms_ratio == pytest.approx(last.rms / first.rms, rel=1e-4)


@pytest.mark.parametrize("shape", [(40, 24), (200, 150), (30, 1)])
def test_what_changed_since_the_last_check(shape: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(*shape))
    monitor = RankMonitor(model, updates=True, per_layer=True, history=tmp_path / "run.jsonl")
    assert monitor.step(0).readings[0].update is None
    change = torch.outer(torch.randn(shape[1]), torch.randn(shape[0])) / 50
    change += torch.randn(shape[1], shape[0]) / 1000
    with torch.no_grad():
        model[0].weight += change
    check = monitor.step(1)
    values = np.linalg.svd(change.double().numpy(), compute_uv=False)
    (reading,) = check.readings
    size = float(change.norm() / model[0].weight.detach().norm())
    assert reading.update == pytest.approx(size, rel=1e-4)
    assert reading.update_stable_rank == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-3)
    assert check.metrics["rank_monitor/0/update"] == reading.update
    assert monitor.step(2).readings[0].update == 0.0
    points = [point for _, point in read_run_history(tmp_path / "run.jsonl").of("0")]
    assert points[1].update == pytest.approx(size, rel=1e-4) and points[2].update == 0.0


def session(path: Path, numbers: "list[int]") -> None:
    monitor = RankMonitor(network(), history=path)
    for number in numbers:
        monitor.step(number, number * 10)


def test_a_resumed_training_replaces_what_it_redoes(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    session(path, [0, 1, 2, 3])
    with path.open("ab") as file:
        file.write(b'{"epoch": 4, "step": 40, "lay')  # killed while it wrote
    assert [x.epoch for x in read_run_history(path).checks] == [0, 1, 2, 3]
    session(path, [2, 3, 4])
    checks = read_run_history(path).checks
    assert [x.epoch for x in checks] == [0, 1, 2, 3, 4]
    assert [x.session for x in checks] == [0, 0, 1, 1, 1]
    assert all(line.startswith("{") and json.loads(line) for line in path.open())


def test_what_a_full_disk_cut_off_in_the_midst_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    session(path, [0, 1, 2])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:50] + b"\n", *lines[3:]]))
    assert [x.epoch for x in read_run_history(path).checks] == [0, 2]
    path.write_bytes(lines[0][:30])  # the first line
    with pytest.raises(SourceError):
        read_run_history(path)
    session(path, [5])
    assert [x.epoch for x in read_run_history(path).checks] == [5]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "not a history of a run"),
        ("epoch,loss\n1,2\n", "not a history of a run"),
        ('{"format": "other", "version": 1, "columns": []}\n', "not a history of a run"),
        ('{"format": "allennlp-analyze run", "version": 99}\n', "written by a newer version"),
        (
            '{"format":"allennlp-analyze run","version":1,'
            '"columns":["kind","M","verdict","lost"]}\n'
            '{"epoch":1,"step":2,"layers":{"a":["linear",3,"fine",0]}}\n',
            "not a valid history of a run",
        ),
        (
            '{"format":"allennlp-analyze run","version":1,"columns":["kind"]}\n{"layers":[3]}\n',
            "not a valid history of a run",
        ),
    ],
)
def test_files_that_are_none_are_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(SourceError) as refused:
        read_run_history(path)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(SourceError, match="No such file"):
        read_run_history(tmp_path / "none.jsonl")


def test_places_where_it_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("my notes\n")
    for path, said in (
        (tmp_path, "is a directory; name a file"),
        (tmp_path / "missing" / "run.jsonl", "is not in an existing directory; name a file"),
        (other, "is another file; choose a new name"),
    ):
        with pytest.raises(UsageError, match=f"^history: .*{said}$"):
            RankMonitor(network(), history=path)
    assert other.read_text() == "my notes\n"


def test_a_history_that_cannot_be_written_ends_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    monitor = RankMonitor(network(), history=folder / "run.jsonl")
    folder.rmdir()
    for epoch in range(2):
        assert len(monitor.step(epoch).readings) == 2
    (record,) = caplog.records
    assert record.getMessage().startswith("failed to write the history (FileNotFoundError: ")
