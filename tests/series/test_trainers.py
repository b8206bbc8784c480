"""The checkpoints of real trainers are found in the order in which they were written."""

import inspect
import shlex
import sys
import warnings
from pathlib import Path

import pytest

from allennlp_analyze.series.finding import Found, find_series
from allennlp_analyze.series.run import SeriesRequest, run_series
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.manifest.reading import read_manifest
from allennlp_analyze.zoo.results import ZooRun
from tests.support.torch_trainings import (
    HEALTHY,
    ForTrainer,
    examples,
    lightning_module,
    one_thread,
)

torch = pytest.importorskip("torch")
nn = torch.nn
STEPS = (2, 4, 6, 8, 10)


def analyzed(found: Found, tmp_path: Path) -> "list[str]":
    """The labels of the series, each of which can be analyzed."""
    report = run_series(
        SeriesRequest((found.title,), tmp_path / "out", workers=1), Settings()
    ).report
    assert report.failed == () and report.left_out == found.left_out
    assert all(None not in track.states for track in report.tracks) and report.tracks
    return [x.label for x in report.checkpoints]


def counted_once(run: Path, others: int) -> ZooRun:
    """The training as a zoo of its directory has it: one model, and `others` are named."""
    manifest = read_manifest(str(run))
    (entry,), (found,) = manifest.entries, manifest.runs
    assert entry.name == found.model and len(found.not_analyzed) == others
    assert all((run / name).exists() for name in found.not_analyzed)
    assert find_series(shlex.split(found.follow)).checkpoints
    return found


def test_hugging_face(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    if sys.version_info >= (3, 11):
        pytest.importorskip("accelerate", reason="newer transformers train with accelerate")
    arguments = transformers.TrainingArguments(
        str(tmp_path / "run"),
        max_steps=10,
        per_device_train_batch_size=32,
        report_to=[],
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=2,
    )
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        transformers.Trainer(ForTrainer(), arguments, train_dataset=examples()).train()
    found = find_series([str(tmp_path / "run")])
    assert [x.step for x in found.checkpoints] == list(STEPS)
    assert analyzed(found, tmp_path) == [f"checkpoint-{n}" for n in STEPS]
    # Older releases write pytorch_model.bin.
    last = {"checkpoint-10/model", "checkpoint-10/pytorch_model"}
    assert counted_once(tmp_path / "run", 4).model in last


def test_the_best_one_of_hugging_face_stands_for_its_training(tmp_path: Path) -> None:
    """So says trainer_state.json, which the trainer writes into each checkpoint."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    if sys.version_info >= (3, 11):
        pytest.importorskip("accelerate", reason="newer transformers train with accelerate")
    newer = "eval_strategy" in inspect.signature(transformers.TrainingArguments).parameters
    arguments = transformers.TrainingArguments(
        str(tmp_path / "run"),
        max_steps=6,
        learning_rate=10.0,  # so that every later loss is worse
        per_device_train_batch_size=32,
        report_to=[],
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=2,
        eval_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        **{"eval_strategy" if newer else "evaluation_strategy": "steps"},
    )
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        trainer = transformers.Trainer(
            ForTrainer(), arguments, train_dataset=examples(), eval_dataset=examples()
        )
        trainer.train()
    best = Path(trainer.state.best_model_checkpoint).name
    assert best != "checkpoint-6"
    found = counted_once(tmp_path / "run", 2)
    assert found.model.startswith(f"{best}/") and "trainer_state.json" in found.why


def test_lightning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning")

    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        pl.Trainer(
            max_steps=10,
            accelerator="cpu",
            logger=pl.loggers.CSVLogger(str(tmp_path / "run")),
            callbacks=[
                pl.callbacks.ModelCheckpoint(every_n_train_steps=2, save_top_k=-1, save_last=True)
            ],
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(lightning_module(pl, HEALTHY), torch.utils.data.DataLoader(examples(), batch_size=32))
    found = find_series([str(tmp_path / "run")])
    assert [x.step for x in found.checkpoints] == list(STEPS)
    assert [x.partition(": ")[0].rpartition("/")[2] for x in found.left_out] == ["last.ckpt"]
    assert len(analyzed(found, tmp_path)) == 5
    assert counted_once(tmp_path / "run", 5).model.endswith("checkpoints/last")


def test_allennlp(tmp_path: Path) -> None:
    """A directory of `allennlp train`, which keeps every state."""
    pytest.importorskip("allennlp", reason="AllenNLP is not installed in this environment")
    from tests.support.trainings import overriding, train

    run = tmp_path / "run"
    run.mkdir()
    keeping = {"trainer.checkpointer": {"keep_most_recent_by_count": 99}, "trainer.num_epochs": 3}
    train(run, *overriding(keeping, callbacks=[]))
    (directory,) = {path.parent for path in run.rglob("model_state_e*.th")}
    found = find_series([str(directory)])
    assert [x.epoch for x in found.checkpoints] == list(range(1, len(found.checkpoints) + 1))
    assert len(found.checkpoints) == 3
    labels = analyzed(found, tmp_path)
    assert all(label.startswith("model_state_e") for label in labels)
    assert counted_once(directory, 3).model == directory.name
