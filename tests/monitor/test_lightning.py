"""The monitor in real trainings of Lightning's Trainer."""

import csv
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Optional

import pytest

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.monitor.trainers import lightning_callback
from tests.support.commands import ROOT
from tests.support.torch_trainings import (
    EPOCHS,
    HEALTHY,
    STEPS,
    TOO_STRONG,
    assert_last_numbers,
    examples,
    lightning_module,
    network,
    one_thread,
    warned,
)

torch = pytest.importorskip("torch")
nn = torch.nn


def lightning_of(package: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(package, reason="needs Lightning")


def lightning_trained(
    folder: Path, weight_decay: float, epochs: int = EPOCHS, accumulated: int = 1, **choices: Any
) -> "tuple[Any, Any]":
    """A trainer and the module that it has trained."""
    pl = lightning_of("lightning.pytorch")

    resumed: Optional[str] = choices.pop("resumed", None)
    others = choices.pop("others", [])
    choices = {"per_layer": True, **choices}
    callback = choices.pop("callback", None) or lightning_callback(**choices)
    assert isinstance(callback, pl.Callback)
    module = lightning_module(pl, weight_decay)
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=pl.loggers.CSVLogger(str(folder), name="", version="log"),
            callbacks=[callback, *others],
            enable_progress_bar=False,
            enable_model_summary=False,
            accumulate_grad_batches=accumulated,
            default_root_dir=str(folder),
        )
        data = torch.utils.data.DataLoader(examples(), batch_size=32, shuffle=True)
        trainer.fit(module, data, ckpt_path=resumed)
    return trainer, module


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / "log" / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("rank_monitor/seconds")]


@pytest.mark.no_cover  # which would follow the import of Lightning; others run the same
@pytest.mark.usefixtures("heard")
def test_lightning_healthy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, module = lightning_trained(tmp_path, HEALTHY, epochs=6, stop=True)
    rows = logged(tmp_path)
    assert [int(row["step"]) for row in rows] == [STEPS * n for n in range(7)]
    assert_last_numbers(rows[-1], analyze(module).layers)
    layer = analyze(module).layer("net.0")
    found = trainer.callback_metrics["rank_monitor/net.0/min_singular_value"]
    assert float(found) == pytest.approx(layer.min_singular_value, rel=1e-6)
    assert not warned(caplog)
    trainer.save_checkpoint(tmp_path / "final.ckpt")
    assert_last_numbers(rows[-1], analyze(tmp_path / "final.ckpt").layers)


@pytest.mark.usefixtures("heard")
def test_lightning_over_regularized(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, module = lightning_trained(tmp_path, TOO_STRONG, stop=True)
    assert any("of directions lost since epoch" in line for line in warned(caplog))
    assert all(line.endswith("weight decay 0.3 is likely too strong") for line in warned(caplog))
    assert trainer.current_epoch < EPOCHS
    assert "collapsed" in {layer.verdict for layer in analyze(module).layers}


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    "every, steps",
    [(15, [0, 15, 30, 40, 45, 60, 75, 80]), (50, [0, 40, 50, 80]), (20, [0, 20, 40, 60, 80])],
)
def test_lightning_after_so_many_batches(tmp_path: Path, every: int, steps: list[int]) -> None:
    trainer, module = lightning_trained(tmp_path, HEALTHY, epochs=2, every=every)
    rows = logged(tmp_path)
    assert [int(row["step"]) for row in rows] == steps
    assert_last_numbers(rows[-1], analyze(module).layers)
    layer = analyze(module).layer("net.0")
    found = trainer.callback_metrics["rank_monitor/net.0/min_singular_value"]
    assert float(found) == pytest.approx(layer.min_singular_value, rel=1e-6)


@pytest.mark.usefixtures("heard")
def test_lightning_counts_the_batches_of_accumulated_gradients(tmp_path: Path) -> None:
    """Of 4 a step here, after 15, 30 and 40 batches; the loggers count in steps."""
    lightning_trained(tmp_path, HEALTHY, epochs=1, every=15, accumulated=4)
    assert [int(row["step"]) for row in logged(tmp_path)] == [0, 3, 7, 10]


@pytest.mark.usefixtures("heard")
def test_lightning_counts_on_when_resumed(tmp_path: Path) -> None:
    first, _ = lightning_trained(tmp_path / "first", HEALTHY, epochs=1, every=15)
    first.save_checkpoint(tmp_path / "kept.ckpt")
    resumed = str(tmp_path / "kept.ckpt")
    lightning_trained(tmp_path / "second", HEALTHY, epochs=2, every=15, resumed=resumed)
    steps = [int(row["step"]) for row in logged(tmp_path / "second")]
    assert steps == [40, 45, 60, 75, 80]


@pytest.mark.usefixtures("heard")
def test_lightning_does_not_end_a_resumed_training_for_what_ended_it_before(
    tmp_path: Path,
) -> None:
    first, _ = lightning_trained(tmp_path / "first", TOO_STRONG, stop=True)
    assert 0 < first.current_epoch < EPOCHS - 1
    first.save_checkpoint(tmp_path / "kept.ckpt")
    epochs = first.current_epoch + 1
    resumed = str(tmp_path / "kept.ckpt")
    second, _ = lightning_trained(
        tmp_path / "second", TOO_STRONG, epochs=epochs, stop=True, resumed=resumed
    )
    assert second.global_step == STEPS * epochs


@pytest.mark.usefixtures("heard")
def test_lightning_goes_on_with_what_the_checkpoint_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    epochs = 12
    first, _ = lightning_trained(tmp_path / "first", TOO_STRONG, epochs=epochs)
    before = warned(caplog)
    assert before
    first.save_checkpoint(tmp_path / "kept.ckpt")
    caplog.clear()
    second, _ = lightning_trained(
        tmp_path / "second", TOO_STRONG, epochs=epochs + 1, resumed=str(tmp_path / "kept.ckpt")
    )
    assert second.current_epoch == epochs + 1
    # None is warned of again, nor is any said to have been so at the first check.
    assert not set(warned(caplog)) & set(before)
    assert not any("at the first check" in line for line in warned(caplog))


@pytest.mark.usefixtures("heard")
def test_lightning_with_a_monitor_of_ones_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lightning_of("lightning.pytorch")
    model = network()
    monitor = RankMonitor(model, layers="0", per_layer=True)
    lightning_trained(tmp_path, HEALTHY, epochs=1, callback=lightning_callback(monitor))
    assert "rank_monitor/0/alpha" in logged(tmp_path)[0]
    assert len(monitor.optimizer) == 1


@pytest.mark.usefixtures("heard")
def test_lightning_goes_on_without_what_it_cannot_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lightning_of("lightning.pytorch")
    callback = lightning_callback(per_layer=True)
    callback.load_state_dict({"layers": "of another version"})
    lightning_trained(tmp_path, HEALTHY, epochs=1, callback=callback)
    assert len(logged(tmp_path)) == 2
    assert (
        "not the state of a RankMonitor; the rank monitor starts without its earlier state"
        in caplog.text
    )


@pytest.mark.no_cover
@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("name", ["EMAWeightAveraging", "StochasticWeightAveraging"])
def test_lightning_watches_the_averages_that_will_be_saved(name: str, tmp_path: Path) -> None:
    callbacks = lightning_of("lightning.pytorch").callbacks
    if not hasattr(callbacks, name):
        pytest.skip(f"this version of Lightning has no {name}")
    choices = {
        "EMAWeightAveraging": {"decay": 0.99},
        "StochasticWeightAveraging": {"swa_lrs": 0.05},
    }
    averaging = getattr(callbacks, name)(**choices[name])
    trainer, module = lightning_trained(tmp_path, HEALTHY, epochs=6, others=[averaging])
    rows = logged(tmp_path)
    trainer.save_checkpoint(tmp_path / "final.ckpt")
    saved = torch.load(tmp_path / "final.ckpt", weights_only=False)["state_dict"]
    assert_last_numbers(rows[-1], analyze(saved).layers)
    # At the end Lightning has put the averages into the module.
    assert_last_numbers(rows[-1], analyze(module).layers)
    lightning_trained(tmp_path / "plain", HEALTHY, epochs=6)
    last = logged(tmp_path / "plain")[-1]
    key = "rank_monitor/net.0/min_singular_value"
    assert float(rows[-1][key]) != pytest.approx(float(last[key]), rel=1e-4)


def test_the_package_that_the_program_uses_is_taken(tmp_path: Path) -> None:
    lightning_of("lightning.pytorch")
    lightning_of("pytorch_lightning")
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import {0};"
        "from allennlp_analyze.monitor.trainers import lightning_callback;"
        "sys.exit(not isinstance(lightning_callback(), {0}.Callback))"
    )
    root = ROOT
    # The other tests have imported lightning.pytorch.
    package = "pytorch_lightning"
    done = subprocess.run([sys.executable, "-c", code.format(package)], cwd=root, timeout=300)
    assert done.returncode == 0
