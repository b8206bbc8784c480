"""The monitor in real trainings of Hugging Face's Trainer."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any, Optional

import pytest

from allennlp_analyze import analyze
from allennlp_analyze.monitor.trainers import hugging_face_callback
from tests.support.torch_trainings import (
    EPOCHS,
    HEALTHY,
    STEPS,
    TOO_STRONG,
    ForTrainer,
    assert_last_numbers,
    examples,
    one_thread,
    warned,
)

pytestmark = pytest.mark.newest_python
torch = pytest.importorskip("torch")
nn = torch.nn


def hugging_face(
    folder: Path, weight_decay: float, report: bool = False, epochs: int = EPOCHS, **choices: Any
) -> "tuple[Any, Any]":
    """A trainer that has trained, and its callback."""
    resumed: Optional[str] = choices.pop("resumed", None)
    extra: dict[str, Any] = choices.pop("arguments", {})
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
        **{"save_steps": STEPS * EPOCHS, **extra},
    )
    model = ForTrainer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=weight_decay)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = transformers.Trainer(
            model,
            arguments,
            train_dataset=examples(),
            eval_dataset=examples()[:32],
            optimizers=(optimizer, None),
        )
        if choices.get("monitor") is None:
            choices = {"per_layer": True, **choices}
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
def test_hugging_face_over_regularized(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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


def has_state() -> bool:
    try:
        from transformers.trainer_callback import ExportableState
    except ImportError:
        return False
    return bool(ExportableState)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("restore", [False, True])
def test_hugging_face_continues_when_resumed(
    restore: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With and without the Trainer's own restoring of callbacks."""
    if not has_state():
        pytest.skip("this version of transformers keeps no state of callbacks")
    hugging_face(tmp_path, TOO_STRONG)
    assert len(warned(caplog)) >= 2
    caplog.clear()
    kept, epochs = str(tmp_path / f"checkpoint-{STEPS * EPOCHS}"), EPOCHS + 1
    extra = {"restore_callback_states_from_checkpoint": restore}
    trainer, callback = hugging_face(
        tmp_path,
        TOO_STRONG,
        epochs=epochs,
        stop=True,
        resumed=kept,
        report=True,
        arguments=extra,
    )
    assert trainer.state.global_step == STEPS * epochs
    assert any(x.verdict == "collapsed" for x in analyze(trainer.model).layers)
    assert not warned(caplog)
    # `log` is not lost, though no checkpoint holds it.
    assert of_monitor(trainer.state.log_history)[-1]["step"] == STEPS * epochs
    (current,) = [x for x in trainer.callback_handler.callbacks if hasattr(x, "monitor")]
    assert current.log == trainer.log and current.monitor.state_dict()["checks"] > EPOCHS
    assert (current is callback) == (not restore)


@pytest.mark.usefixtures("heard")
def test_hugging_face_can_choose_the_best_model_by_the_monitor(tmp_path: Path) -> None:
    if not has_state():
        pytest.skip("older versions have another name for eval_strategy")
    trainer, _ = hugging_face(
        tmp_path,
        TOO_STRONG,
        arguments={
            "eval_strategy": "steps",
            "eval_steps": STEPS,
            "save_steps": STEPS,
            "load_best_model_at_end": True,
            "metric_for_best_model": "rank_monitor/max_rank_loss_percent",
            "greater_is_better": False,
        },
    )
    # The last weights have collapsed; the best ones, which were loaded, have lost nothing.
    assert of_monitor(trainer.state.log_history)[-1]["rank_monitor/collapsed_layers"] == 2.0
    assert trainer.state.best_metric == 0.0
    assert all(layer.lost_directions == 0 for layer in analyze(trainer.model).layers)
