"""The numbers arrive where trainers log: TensorBoard, Weights & Biases, MLflow, CSV."""

import csv
import importlib
import sys
import warnings
from pathlib import Path
from typing import Any, Callable

import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.monitor.trainers import hugging_face_callback, lightning_callback
from tests.support.torch_trainings import (
    EPOCHS,
    HEALTHY,
    ForTrainer,
    examples,
    lightning_module,
    one_thread,
)

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.newest_python, pytest.mark.usefixtures("heard")]
nn = torch.nn
COUNT, WORST = "rank_monitor/collapsed_layers", "rank_monitor/min_null_ratio"
OF_LAYER = "rank_monitor/net.0/stable_rank"
Read = Callable[[Path], "dict[str, list[float]]"]


def of_tensorboard(folder: Path) -> dict[str, list[float]]:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs TensorBoard"
    )
    found: dict[str, list[float]] = {}
    for file in sorted(folder.rglob("events.out*")):
        events = accumulator.EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend(event.value for event in events.Scalars(tag))
    return found


def of_csv(folder: Path) -> dict[str, list[float]]:
    (file,) = folder.rglob("metrics.csv")
    found: dict[str, list[float]] = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            for name, value in row.items():
                if value:
                    found.setdefault(name, []).append(float(value))
    return found


def of_mlflow(folder: Path) -> dict[str, list[float]]:
    tracking = pytest.importorskip("mlflow.tracking", reason="needs MLflow")
    client = tracking.MlflowClient(f"file:{folder}/mlruns")
    (run,) = (
        run
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
    )
    return {
        name: [one.value for one in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def of_wandb(folder: Path) -> dict[str, list[float]]:
    """Only that the names are in its file: its format is Weights & Biases' own."""
    written = b"".join(path.read_bytes() for path in folder.rglob("*.wandb"))
    names = (COUNT, WORST, OF_LAYER)
    return {name: [0.0] * 3 for name in names if name.encode() in written}


def lightning_logger(name: str, folder: Path) -> Any:
    loggers = pytest.importorskip("lightning.pytorch", reason="needs Lightning").loggers
    if name == "mlflow":
        pytest.importorskip("mlflow", reason="needs MLflow")
        return loggers.MLFlowLogger(tracking_uri=f"file:{folder}/mlruns")
    if name == "wandb":
        pytest.importorskip("wandb", reason="needs Weights & Biases")
        return loggers.WandbLogger(save_dir=str(folder), offline=True)
    if name == "tensorboard":
        pytest.importorskip("tensorboard", reason="needs TensorBoard")
        return loggers.TensorBoardLogger(str(folder))
    return loggers.CSVLogger(str(folder))


READERS: "dict[str, Read]" = {
    "csv": of_csv,
    "tensorboard": of_tensorboard,
    "mlflow": of_mlflow,
    "wandb": of_wandb,
}


def assert_logged(found: "dict[str, list[float]]", checks: int, per_layer: bool) -> None:
    assert len(found[COUNT]) == len(found[WORST]) == checks
    assert set(found[COUNT]) == {0.0}
    assert (OF_LAYER in found) == per_layer


@pytest.mark.parametrize("name, per_layer", [*((name, False) for name in READERS), ("csv", True)])
def test_lightning(
    name: str, per_layer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # its databases need more packages
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning")
        logger = lightning_logger(name, tmp_path)

        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=logger,
            callbacks=[lightning_callback(per_layer=per_layer)],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(tmp_path),
        )
        trainer.fit(
            lightning_module(pl, HEALTHY), torch.utils.data.DataLoader(examples(), batch_size=320)
        )
        if name == "wandb":
            logger.experiment.finish()
    found = READERS[name](tmp_path)
    if name == "wandb":
        assert {COUNT, WORST} <= found.keys() and OF_LAYER not in found
    else:
        assert_logged(found, 3, per_layer)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_hugging_face(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("accelerate", reason="newer transformers train with accelerate")
    pytest.importorskip(name, reason=f"needs {name}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if name == "mlflow":
        importlib.import_module("mlflow").set_tracking_uri(f"file:{tmp_path}/mlruns")
    if name == "wandb":
        importlib.import_module("wandb").teardown()  # it keeps the settings of another test
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "test")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))

    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        arguments = transformers.TrainingArguments(
            str(tmp_path / "out"),
            num_train_epochs=2,
            per_device_train_batch_size=320,
            report_to=[name],
            disable_tqdm=True,
            save_strategy="no",
        )
        trainer = transformers.Trainer(ForTrainer(), arguments, train_dataset=examples())
        trainer.add_callback(hugging_face_callback(log=trainer.log))
        trainer.train()
        if name == "wandb":
            sys.modules["wandb"].finish()
        if name == "mlflow":
            sys.modules["mlflow"].end_run()
    found = READERS[name](tmp_path)
    count = next(key for key in found if key.endswith("collapsed_layers"))
    assert not any(key.endswith("net.0/stable_rank") for key in found)
    assert name == "wandb" or len(found[count]) == 3


def test_the_worst_layer_and_the_counts() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "blocks": nn.ModuleList(
                nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Linear(40, 24)) for _ in range(2)
            ),
            "head": nn.Linear(24, 7),
        }
    )
    monitor = RankMonitor(model)
    check = monitor.step(EPOCHS)
    blocks = {name for name in check.metrics if "/block/" in name}
    assert blocks == {f"rank_monitor/block/blocks.{n}/min_null_ratio" for n in (0, 1)}
    least = {
        n: min(x.null_ratio or 0.0 for x in check.readings if x.layer.startswith(f"blocks.{n}"))
        for n in (0, 1)
    }
    for n in (0, 1):
        assert check.metrics[f"rank_monitor/block/blocks.{n}/min_null_ratio"] == least[n]
    assert check.metrics[WORST] == min(x.null_ratio or 0.0 for x in check.readings)
    with torch.no_grad():
        model["blocks"][1][2].weight.zero_()
        model["head"].weight[2] = 0.0
    check = monitor.step(EPOCHS + 1)
    assert check.worst_layer == "blocks.1.2" and check.metrics[COUNT] == 1.0
    assert check.metrics["rank_monitor/dead_unit_layers"] == 1.0
    assert check.metrics["rank_monitor/max_rank_loss_percent"] == 100.0
    assert all(type(value) is float for value in check.metrics.values())
