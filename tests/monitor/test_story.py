"""A run as a page: what the monitor wrote to its history, each layer over time."""

from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.metrics.judging import DECAYED_SHARE
from allennlp_analyze.monitor import RankMonitor, read_run_history, write_run_page
from allennlp_analyze.monitor.story import run_as_series
from allennlp_analyze.series.wording import lines_of_trouble, series_sentence
from tests.support.browser import chromium, opened

torch = pytest.importorskip("torch")
nn = torch.nn
EPOCHS = 20


def train(history: Path, weight_decay: float, epochs: int = EPOCHS, **choices: Any) -> RankMonitor:
    """A classifier, whose weights vanish where the weight decay is strong."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=weight_decay)
    monitor = RankMonitor(model, optimizer=optimizer, history=history, updates=True, **choices)
    monitor.step(0, 0)
    for epoch in range(1, epochs + 1):
        for _ in range(20):
            optimizer.zero_grad()
            x = torch.randn(32, 64)
            nn.functional.cross_entropy(model(x), x[:, :4].argmax(1)).backward()
            optimizer.step()
        monitor.step(epoch, 20 * epoch)
    return monitor


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lost") / "run.jsonl"
    train(path, 0.5)
    return path


def test_a_warning_of_a_layer_that_is_still_well_stands_on_the_page(tmp_path: Path) -> None:
    train(tmp_path / "run.jsonl", 0.2, epochs=8)
    series = run_as_series(read_run_history(tmp_path / "run.jsonl"), "run")
    assert not series.went_wrong
    (warned,) = series.warned
    assert warned.layer == "0" and warned.warned is not None
    page = write_run_page(tmp_path / "run.jsonl", tmp_path / "run.html")
    with chromium() as browser, opened(browser, page) as shown:
        text = shown.page.locator("body").inner_text()
    at = 20 * warned.warned[0]
    assert f"warned at step {at}: its smaller singular values have sunk to" in text
    assert "Settings of all" not in text


def test_what_stopped_the_training_is_what_the_page_says(tmp_path: Path) -> None:
    """Only the monitor knows the start of a layer; its verdict alone is still good."""
    train(tmp_path / "run.jsonl", 0.5, epochs=9, stop=True)
    history = read_run_history(tmp_path / "run.jsonl")
    assert history.checks[-1].stop
    series = run_as_series(history, "run")
    assert series.last is not None and series.last.verdict == "collapsed"
    assert "its weights have decayed" in next(lines_of_trouble(series))


def test_it_is_what_the_monitor_read(lost: Path) -> None:
    history = read_run_history(lost)
    series = run_as_series(history, "run")
    assert series.axis == ("step", tuple(20.0 * i for i in range(EPOCHS + 1)))
    assert [track.layer for track in series.tracks] == list(history.layers) == ["0", "2"]
    for track in series.tracks:
        points = [point for _, point in history.of(track.layer)]
        decayed = [x.rms_ratio is not None and x.rms_ratio < DECAYED_SHARE for x in points]
        assert [state.verdict for state in track.states if state] == [
            "collapsed" if is_gone else x.verdict for x, is_gone in zip(points, decayed)
        ]
        for name in ("null_ratio", "rms_ratio", "alpha", "update", "learning_rate"):
            assert [getattr(x, name) for x in track.states] == [getattr(x, name) for x in points]
        assert track.M == points[0].M
    bad = {x.layer: x for x in series.went_wrong}
    assert "0" in bad
    since = bad["0"].since
    assert since and [x.verdict for x in bad["0"].states if x][since - 1] == "full_rank"
    lines = list(lines_of_trouble(series))
    assert lines[0].startswith(f"0: collapsed since step {20 * since}: its weights have decayed")
    assert bad["0"].warned is not None and bad["0"].warned[0] < since
    assert f"; warned at step {20 * bad['0'].warned[0]}: its smaller singular values" in lines[0]
    assert series_sentence(series).startswith("At step 400, the last of 21 checkpoints: ")


def test_a_healthy_run_has_nothing_to_say(tmp_path: Path) -> None:
    train(tmp_path / "run.jsonl", 1e-4)
    series = run_as_series(read_run_history(tmp_path / "run.jsonl"), "run")
    assert series.went_wrong == () and {x.verdict for x in series.checkpoints} == {"full_rank"}


def test_the_page_in_a_browser(lost: Path, tmp_path: Path) -> None:
    page = write_run_page(lost, tmp_path / "run.html")
    with chromium() as browser, opened(browser, page) as shown:
        assert shown.texts("#figures figcaption") == [
            "Smallest singular value over that of noise",
            "Lost directions",
            "Size of the weights over the start",
            "Power-law exponent",
            "Update over the weights",
            "Learning rate",
        ]
        assert shown.texts("#figures p.note").count("No layer has this number.") == 0
        shown.page.locator("#layers button.open").first.click()
        assert "Weight decay" in shown.texts("tr.detail figcaption")
        assert shown.page.locator("table.plain a").count() == 0


def test_errors_are_lines(tmp_path: Path) -> None:
    monitor = RankMonitor(nn.Linear(4, 3))
    with pytest.raises(UsageError, match="report: needs the history of the run"):
        monitor.report(tmp_path / "run.html")
    (tmp_path / "other.jsonl").write_text("{}\n")
    with pytest.raises(SourceError, match="not a history of a run"):
        write_run_page(tmp_path / "other.jsonl", tmp_path / "run.html")
    monitor = train(tmp_path / "run.jsonl", 0.0)
    assert monitor.report(tmp_path / "run.html").read_text(encoding="utf-8").count("<h1>") == 1
