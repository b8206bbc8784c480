"""`rank_monitor` in real trainings by `allennlp train`; healthy, over-regularized and odd ones."""

import json
import re
from pathlib import Path

import pytest

from allennlp_analyze import analyze
from tests.support.trainings import (
    ENCODER,
    EXAMPLE,
    L2,
    LOST,
    MONITOR,
    OURS,
    PLUGIN,
    PREFIX,
    PROJECTION,
    SIGMA_MIN,
    WEIGHT_DECAY,
    included,
    metrics_of,
    numbers_of,
    overriding,
    tensorboard,
    train,
    wandb_rows,
    warnings_in,
    watched,
)

pytest.importorskip("allennlp", reason="AllenNLP is not installed in this environment")
# Random numbers are drawn while training: the monitor must not draw any.
DROPOUT = {"model.encoder.feedforward.dropout": 0.1}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, found through a plugins file as in every user's own project."""
    directory = tmp_path_factory.mktemp("healthy")
    (directory / ".allennlp_plugins").write_text(f"{PLUGIN}\n")
    done = train(directory, *overriding(DROPOUT))
    (directory / "log").write_text(done.stdout + done.stderr)
    return directory


@pytest.fixture(scope="module")
def recovered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Over-regularized, killed in the midst of epoch 3 and taken up again."""
    directory = tmp_path_factory.mktemp("recovered")
    callbacks = [
        "recorder",
        {**MONITOR, "every_batches": 20},
        "tensorboard",
        {"type": "killed", "epoch": 3},
    ]
    options = (*overriding(L2, callbacks=callbacks), *included(PLUGIN, OURS))
    for name, recover, code in (("killed", (), -9), ("log", ("--recover",), 0)):
        done = train(directory, *options, *recover, code=code)
        (directory / name).write_text(done.stdout + done.stderr)
    return directory


def test_a_healthy_training_is_not_warned(healthy: Path) -> None:
    assert warnings_in((healthy / "log").read_text()) == []
    last = metrics_of(healthy)
    assert last["best_validation_accuracy"] > 0.9
    assert last[LOST] == 0 and last[SIGMA_MIN] > 0.1


def test_the_archive_s_report_agrees_with_the_last_epoch_s_log(healthy: Path) -> None:
    last = metrics_of(healthy)
    assert last["best_epoch"] == last["epoch"] == 5
    assert watched(last) == watched(metrics_of(healthy, epoch=5))
    assert watched(last) == numbers_of(healthy / "out" / "model.tar.gz")


def test_the_archive_s_report_agrees_when_collapsed(recovered: Path) -> None:
    last = metrics_of(recovered)
    assert last["best_epoch"] == last["epoch"] == 5
    assert watched(last) == numbers_of(recovered / "out" / "model.tar.gz")
    assert analyze(recovered / "out" / "model.tar.gz").summary.verdict == "collapsed"


def test_the_example_says_how_to_start_what_was_started_here() -> None:
    text = (EXAMPLE / "tagger.jsonnet").read_text()
    (overrides,) = re.findall(r"-o '(.*)'$", text, re.MULTILINE)
    assert json.loads(overrides) == L2


def test_training_is_bit_for_bit_what_it_is_without(healthy: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    train(tmp_path, *overriding(DROPOUT, callbacks=["tensorboard"]))
    with_monitor, without = (torch.load(d / "out" / "best.th") for d in (healthy, tmp_path))
    assert list(with_monitor) == list(without)
    for name, weights in without.items():
        assert torch.equal(with_monitor[name], weights), name
    for epoch in range(6):
        ours, theirs = metrics_of(healthy, epoch), metrics_of(tmp_path, epoch)
        same = [key for key in theirs if key.endswith(("loss", "accuracy", "epoch"))]
        assert [ours[key] for key in same] == [theirs[key] for key in same]
        assert {key for key in ours if not key.startswith(PREFIX)} == set(theirs)


def test_tensorboard_has_each_epoch_once_and_the_start(healthy: Path) -> None:
    curves = tensorboard(healthy, "train")
    for key in watched(metrics_of(healthy)):
        logged = {
            epoch + 1: numbers[key]
            for epoch in range(6)
            if key in (numbers := metrics_of(healthy, epoch))
        }
        steps = [step for step, _ in curves[key]]
        assert steps == sorted({0, *logged})
        assert dict(curves[key][1:]) == pytest.approx(logged, rel=1e-6)
    assert [step for step, _ in curves["train/loss"]] == [1, 2, 3, 4, 5, 6]
    both = {*curves, *tensorboard(healthy, "validation")}
    assert not [tag for tag in both if "rank_monitor" in tag and not tag.startswith(PREFIX)]
    assert not watched(dict.fromkeys(tensorboard(healthy, "validation")))


def test_the_console_s_table_is_what_it_was(healthy: Path) -> None:
    log = (healthy / "log").read_text()
    assert len(re.findall(r"console_logger - loss +\| +[\d.]+  \| +[\d.]+\n", log)) == 6
    assert "console_logger - rank_monitor" not in log and "Logging error" not in log


def test_over_regularized_training_is_warned_once_for_each_state(recovered: Path) -> None:
    before = warnings_in((recovered / "killed").read_text())
    after = warnings_in((recovered / "log").read_text())
    collapsed = [line for line in (*before, *after) if "directions lost" in line]
    (line,) = collapsed
    assert re.fullmatch(
        rf"{re.escape(ENCODER)}: [\d.]+% of directions lost since epoch [012];"
        r" L2 penalty 0\.1 is likely too strong",
        line,
    )
    assert line in before and after == [] and len({*before}) == len(before)
    since = int(re.search(r"since epoch (\d)", line)[1])
    assert metrics_of(recovered, since)[LOST] == 0 or since == 0
    assert metrics_of(recovered, 5)[LOST] > 50
    # The projection, which is not regularized, is not warned of.
    assert not [line for line in before if PROJECTION in line]
    assert metrics_of(recovered)[f"{PREFIX}{PROJECTION}/rank_loss_percent"] == 0


def test_every_so_many_batches_a_check_and_one_axis(recovered: Path) -> None:
    lines = (recovered / "out" / "recorded.jsonl").read_text().splitlines()
    records = [r for r in map(json.loads, lines) if watched(r["scalars"])]
    assert all(r["prefix"] == "" and r["epoch"] is None for r in records)
    # Killed 10 batches after the end of epoch 2; no second look at the start when taken up again.
    assert [r["batches"] for r in records] == list(range(0, 241, 20))
    sizes = [r["scalars"][SIGMA_MIN] for r in records]
    assert sizes[0] > 0.1 and sizes[-1] < 1e-7
    for epoch in range(6):
        (at_the_end,) = [r for r in records if r["batches"] == 40 * (epoch + 1)]
        assert watched(at_the_end["scalars"]) == watched(metrics_of(recovered, epoch))


def test_stop_ends_the_training_and_archives_the_model(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    callbacks = [{**MONITOR, "stop": True}, {"type": "wandb", "watch_model": False}]
    folders = ("WANDB_DIR", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR")
    done = train(
        tmp_path,
        *overriding(WEIGHT_DECAY, callbacks=callbacks),
        *included(PLUGIN),
        WANDB_MODE="offline",
        WANDB_ERROR_REPORTING="false",
        **dict.fromkeys(folders, str(tmp_path)),
    )
    check_stopped(tmp_path, done.stdout + done.stderr)
    rows = [row for row in wandb_rows(tmp_path) if SIGMA_MIN in row]
    last = metrics_of(tmp_path)["epoch"]
    assert [row["epoch"] for row in rows] == [-1, *range(last + 1)]
    for row in rows[1:]:
        logged = watched(metrics_of(tmp_path, row["epoch"]))
        assert {key: row[key] for key in logged} == logged


def test_stop_ends_every_process_of_a_distributed_training(tmp_path: Path) -> None:
    # Each takes half of the sentences, in as many batches as one that is alone.
    config = {"distributed": {"cuda_devices": [-1, -1]}, "data_loader.batch_size": 1}
    callbacks = [{**MONITOR, "stop": True}]
    done = train(
        tmp_path, *overriding(config, WEIGHT_DECAY, callbacks=callbacks), *included(PLUGIN)
    )
    check_stopped(tmp_path, (tmp_path / "out" / "out_worker0.log").read_text())
    # The first process alone speaks.
    assert warnings_in((tmp_path / "out" / "out_worker1.log").read_text()) == []
    assert "Error" not in done.stderr


def check_stopped(directory: Path, log: str) -> None:
    """Collapse was found, warned of, and ended the training after its epoch."""
    *before, collapse, ends = warnings_in(log)
    assert re.fullmatch(
        rf"{re.escape(ENCODER)}: [\d.]+% of directions lost since epoch \d;"
        r" weight decay 0\.2 is likely too strong",
        collapse,
    )
    last = metrics_of(directory)
    epoch = last["epoch"]
    assert 1 <= epoch < 5 and last[LOST] > 0 and metrics_of(directory, epoch - 1)[LOST] == 0
    assert ends.startswith(f"rank_monitor: training ends after epoch {epoch}: ")
    assert not (directory / "out" / f"metrics_epoch_{epoch + 1}.json").exists()
    assert last["best_epoch"] == epoch
    assert watched(last) == numbers_of(directory / "out" / "model.tar.gz")
    assert all("directions lost" not in line for line in before)
