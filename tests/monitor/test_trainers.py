"""The monitor in real trainings of Hugging Face's Trainer and of Lightning's."""

import csv
import json
import logging
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Optional

import pytest

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.trainers import hugging_face_callback, lightning_callback
from allennlp_analyze.results.layer import LayerResult
from tests.support.commands import ROOT
from tests.support.torch_trainings import HEALTHY, TOO_STRONG, network, one_thread, teacher

torch = pytest.importorskip("torch")
nn = torch.nn
STEPS, EPOCHS = 40, 20
LOGGER = "allennlp_analyze.monitor"


def examples() -> list[dict[str, Any]]:
    """So many that an epoch of batches of 32 is `STEPS` steps."""
    inputs, targets = teacher()
    pairs = zip(inputs.repeat(5, 1), targets.repeat(5, 1))
    return [{"x": x, "labels": y} for x, y in pairs]


def assert_last_numbers(found: dict[str, Any], layers: "tuple[LayerResult, ...]") -> None:
    for layer in layers:
        key = f"rank_monitor/{layer.name}/min_singular_value"
        assert float(found[key]) == pytest.approx(layer.min_singular_value, rel=1e-9)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


@pytest.fixture
def heard() -> Any:
    """Lightning and transformers set levels of the root's children, not of ours."""
    logging.getLogger(LOGGER).setLevel(logging.WARNING)


# --- Hugging Face ---------------------------------------------------------------------------------


class ForTrainer(nn.Module):
    """As transformers' models: takes the labels, gives the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Any, labels: Any) -> Any:
        outputs = self.net(x)
        return {"loss": nn.functional.mse_loss(outputs, labels), "logits": outputs}


def hugging_face(
    folder: Path, weight_decay: float, report: bool = False, epochs: int = EPOCHS, **choices: Any
) -> "tuple[Any, Any]":
    """A trainer that has trained, and its callback."""
    resumed: Optional[str] = choices.pop("resumed", None)
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    if sys.version_info >= (3, 11):
        pytest.importorskip("accelerate", reason="newer transformers train with accelerate")
    arguments = transformers.TrainingArguments(
        str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        learning_rate=0.05,
        lr_scheduler_type="constant",
        report_to=[],
        disable_tqdm=True,
        logging_steps=STEPS,
        save_strategy="steps",
        save_steps=STEPS * EPOCHS,
    )
    model = ForTrainer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=weight_decay)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = transformers.Trainer(
            model, arguments, train_dataset=examples(), optimizers=(optimizer, None)
        )
        if report:
            choices["log"] = trainer.log
        callback = hugging_face_callback(**choices)
        assert isinstance(callback, transformers.TrainerCallback)
        trainer.add_callback(callback)
        with one_thread():
            trainer.train(resume_from_checkpoint=resumed)
    return trainer, callback


def of_monitor(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for entry in history if "rank_monitor/seconds" in entry]


@pytest.mark.usefixtures("heard")
def test_hugging_face_healthy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, _ = hugging_face(tmp_path, HEALTHY, stop=True)
    entries = of_monitor(trainer.state.log_history)
    assert [entry["epoch"] for entry in entries] == list(range(EPOCHS + 1))
    assert [entry["step"] for entry in entries] == [STEPS * n for n in range(EPOCHS + 1)]
    assert_last_numbers(entries[-1], analyze(trainer.model).layers)
    assert not warned(caplog)
    trainer.save_model(str(tmp_path / "saved"))
    assert_last_numbers(entries[-1], analyze(tmp_path / "saved").layers)
    trainer.state.save_to_json(str(tmp_path / "state.json"))
    assert json.loads((tmp_path / "state.json").read_text())["log_history"]


@pytest.mark.usefixtures("heard")
def test_hugging_face_over_regularised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, callback = hugging_face(tmp_path, TOO_STRONG, stop=True)
    assert any("of directions lost since epoch" in line for line in warned(caplog))
    assert all(line.endswith("weight decay 0.3 is likely too strong") for line in warned(caplog))
    assert trainer.state.epoch < EPOCHS
    assert callback.monitor.step().stop
    verdicts = {layer.verdict for layer in analyze(trainer.model).layers}
    assert "collapsed" in verdicts


@pytest.mark.usefixtures("heard")
def test_hugging_face_reports_where_the_trainer_does(tmp_path: Path) -> None:
    """`trainer.log` tells every callback that reports, TensorBoard's and W&B's among them."""
    trainer, _ = hugging_face(tmp_path, HEALTHY, report=True, every=30)
    entries = of_monitor(trainer.state.log_history)
    expected = {*range(0, STEPS * EPOCHS + 1, 30), *range(0, STEPS * EPOCHS + 1, STEPS)}
    assert [entry["step"] for entry in entries] == sorted(expected)
    # And none of the trainer's own numbers is lost.
    losses = [entry["step"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses == [STEPS * (n + 1) for n in range(EPOCHS)]
    tensorboard = pytest.importorskip("tensorboardX", reason="needs a writer for TensorBoard")
    from transformers.integrations import TensorBoardCallback

    writer = tensorboard.SummaryWriter(str(tmp_path / "events"))
    trainer.add_callback(TensorBoardCallback(writer))
    trainer.args.num_train_epochs = 1
    with one_thread():
        trainer.train()
    writer.close()
    written = b"".join(path.read_bytes() for path in (tmp_path / "events").rglob("events*"))
    assert b"rank_monitor/net.0/min_singular_value" in written


@pytest.mark.usefixtures("heard")
def test_hugging_face_begins_anew_when_resumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hugging_face(tmp_path, TOO_STRONG)
    caplog.clear()
    kept, epochs = str(tmp_path / f"checkpoint-{STEPS * EPOCHS}"), EPOCHS + 1
    trainer, _ = hugging_face(tmp_path, TOO_STRONG, epochs=epochs, stop=True, resumed=kept)
    assert trainer.state.global_step == STEPS * epochs
    collapsed = [x.name for x in analyze(trainer.model).layers if x.verdict == "collapsed"]
    assert len(warned(caplog)) == len(collapsed) > 0
    for name, line in zip(collapsed, warned(caplog)):
        assert line.startswith(f"{name}: was already collapsed at the first check")


# --- Lightning ------------------------------------------------------------------------------------


def lightning_of(package: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(package, reason="needs Lightning")


def lightning_trained(
    folder: Path, weight_decay: float, epochs: int = EPOCHS, accumulated: int = 1, **choices: Any
) -> "tuple[Any, Any]":
    """A trainer and the module that it has trained."""
    pl = lightning_of("lightning.pytorch")

    class Module(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, index: int) -> Any:
            return nn.functional.mse_loss(self.net(batch["x"]), batch["labels"])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05, weight_decay=weight_decay)

    resumed: Optional[str] = choices.pop("resumed", None)
    callback = choices.pop("callback", None) or lightning_callback(**choices)
    assert isinstance(callback, pl.Callback)
    module = Module()
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=pl.loggers.CSVLogger(str(folder), name="", version="log"),
            callbacks=[callback],
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


@pytest.mark.usefixtures("heard")
def test_lightning_healthy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, module = lightning_trained(tmp_path, HEALTHY, stop=True)
    rows = logged(tmp_path)
    assert [int(row["step"]) for row in rows] == [STEPS * n for n in range(EPOCHS + 1)]
    assert_last_numbers(rows[-1], analyze(module).layers)
    layer = analyze(module).layer("net.0")
    found = trainer.callback_metrics["rank_monitor/net.0/min_singular_value"]
    assert float(found) == pytest.approx(layer.min_singular_value, rel=1e-6)
    assert not warned(caplog)
    trainer.save_checkpoint(tmp_path / "final.ckpt")
    assert_last_numbers(rows[-1], analyze(tmp_path / "final.ckpt").layers)


@pytest.mark.usefixtures("heard")
def test_lightning_over_regularised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
    first, _ = lightning_trained(tmp_path / "first", TOO_STRONG)
    before = warned(caplog)
    assert before
    first.save_checkpoint(tmp_path / "kept.ckpt")
    caplog.clear()
    second, _ = lightning_trained(
        tmp_path / "second", TOO_STRONG, epochs=EPOCHS + 1, resumed=str(tmp_path / "kept.ckpt")
    )
    assert second.current_epoch == EPOCHS + 1
    # None is warned of again, nor is any said to have been so at the first check.
    assert not set(warned(caplog)) & set(before)
    assert not any("at the first check" in line for line in warned(caplog))


@pytest.mark.usefixtures("heard")
def test_lightning_with_a_monitor_of_ones_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lightning_of("lightning.pytorch")
    model = network()
    monitor = RankMonitor(model, layers="0")
    lightning_trained(tmp_path, HEALTHY, epochs=1, callback=lightning_callback(monitor))
    assert "rank_monitor/0/alpha" in logged(tmp_path)[0]
    assert len(monitor.optimizer) == 1


@pytest.mark.usefixtures("heard")
def test_lightning_goes_on_without_what_it_cannot_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lightning_of("lightning.pytorch")
    callback = lightning_callback()
    callback.load_state_dict({"layers": "of another version"})
    lightning_trained(tmp_path, HEALTHY, epochs=1, callback=callback)
    assert len(logged(tmp_path)) == 2
    assert (
        "not the state of a RankMonitor; the rank monitor starts without its earlier state"
        in caplog.text
    )


def test_the_package_that_the_program_uses_is_taken(tmp_path: Path) -> None:
    lightning_of("lightning.pytorch")
    lightning_of("pytorch_lightning")
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import {0};"
        "from allennlp_analyze.monitor.trainers import lightning_callback;"
        "sys.exit(not isinstance(lightning_callback(), {0}.Callback))"
    )
    root = ROOT
    for package in ("lightning.pytorch", "pytorch_lightning"):
        done = subprocess.run([sys.executable, "-c", code.format(package)], cwd=root, timeout=300)
        assert done.returncode == 0


# --- Both -----------------------------------------------------------------------------------------

BOTH = [(hugging_face_callback, "transformers"), (lightning_callback, "lightning.pytorch")]


@pytest.mark.parametrize("make, package", BOTH)
def test_choices_that_make_no_sense(make: Any, package: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(package)
    with pytest.raises(UsageError, match=r"^every: 0 is not a whole number > 0$"):
        make(every=0)
    with pytest.raises(UsageError, match="^layers, stop: pass this to the RankMonitor"):
        make(RankMonitor(network()), layers="0", stop=True)


@pytest.mark.parametrize("make, package", BOTH)
def test_a_callback_can_be_sent_to_other_processes(make: Any, package: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(package)
    sent = pickle.loads(pickle.dumps(make(every=7, layers="net", stop=True)))
    assert type(sent) is type(make()) and sent.every == 7
    given = pickle.loads(pickle.dumps(make(RankMonitor(network()))))
    assert [x.layer for x in given.monitor.step().readings] == ["0", "2"]


@pytest.mark.parametrize("make, package", BOTH)
def test_a_package_that_is_missing_is_one_clear_line(
    make: Any, package: str, tmp_path: Path
) -> None:
    """In an interpreter that finds neither."""
    root = package.partition(".")[0]
    code = (
        "import sys, importlib.abc\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] in ('transformers', 'lightning', 'pytorch_lightning'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from allennlp_analyze.errors import UsageError\n"
        f"from allennlp_analyze.monitor.trainers import {make.__name__} as make\n"
        "try:\n"
        "    make()\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    expected = f"{make.__name__}: {root} is not installed; pip install {root}\n"
    assert (done.stdout, done.stderr) == (expected, "")
