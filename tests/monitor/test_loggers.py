"""The numbers arrive where trainers log: TensorBoard, Weights & Biases, MLflow, CSV."""

import csv
import sys
import warnings
from pathlib import Path
from typing import Any, Callable

import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.monitor.run_history import read_run_history
from allennlp_analyze.monitor.trainers import hugging_face_callback, lightning_callback
from tests.support.torch_trainings import (
    EPOCHS,
    HEALTHY,
    ForTrainer,
    epochs,
    examples,
    lightning_module,
    network,
    one_thread,
    sgd,
)
from tests.support.wandb_files import history_rows

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
    """Each step is a row; a row without our numbers is one of the trainer's own."""
    sys.modules["wandb"].teardown()  # its process has written all then, and forgets this test
    found: dict[str, list[float]] = {}
    for row in history_rows(folder):
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


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


def assert_logged(
    found: "dict[str, list[float]]", history: Path, prefix: str = "", per_layer: bool = False
) -> None:
    """The logger has what the monitor's own history has: three checks, the worst value of each."""
    checks = read_run_history(history).checks
    expected = [min(x.null_ratio or 0.0 for x in check.layers) for check in checks]
    assert len(expected) == 3 and len(set(expected)) > 1
    assert found[f"{prefix}{WORST}"] == pytest.approx(
        expected, rel=1e-5
    )  # the history has 6 digits
    assert found[f"{prefix}{COUNT}"] == [0.0, 0.0, 0.0]
    assert (f"{prefix}{OF_LAYER}" in found) == per_layer


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All loggers write into the test's folder, and none asks for a server."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "MLFLOW_ALLOW_FILE_STORE": "true",  # its databases need more packages
        "MLFLOW_TRACKING_URI": f"file:{tmp_path}/mlruns",
        "MLFLOW_EXPERIMENT_NAME": "test",
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "TENSORBOARD_LOGGING_DIR": str(tmp_path / "events"),
    }.items():
        monkeypatch.setenv(name, value)
    if "mlflow" in sys.modules:  # it remembers the folder of another test
        sys.modules["mlflow"].set_tracking_uri(f"file:{tmp_path}/mlruns")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name, per_layer", [*((name, False) for name in READERS), ("csv", True)])
def test_lightning(name: str, per_layer: bool, tmp_path: Path) -> None:
    history = tmp_path / "run.jsonl"
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning")
        logger = lightning_logger(name, tmp_path)
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=logger,
            callbacks=[lightning_callback(per_layer=per_layer, history=history)],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(tmp_path),
        )
        trainer.fit(
            lightning_module(pl, HEALTHY), torch.utils.data.DataLoader(examples(), batch_size=320)
        )
        if name == "wandb":
            logger.experiment.finish()
    assert_logged(READERS[name](tmp_path), history, per_layer=per_layer)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_hugging_face(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("accelerate", reason="newer transformers train with accelerate")
    package = pytest.importorskip(name, reason=f"needs {name}")
    history = tmp_path / "run.jsonl"
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
        trainer.add_callback(hugging_face_callback(log=trainer.log, history=history))
        trainer.train()
        if name == "wandb":
            package.finish()
        if name == "mlflow":
            package.end_run()
    # The Trainer puts this before the names of all numbers that are not of an evaluation.
    prefix = "" if name == "mlflow" else "train/"
    assert_logged(READERS[name](tmp_path), history, prefix)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_accelerate(name: str, tmp_path: Path) -> None:
    accelerate: Any = pytest.importorskip("accelerate", reason="needs accelerate")
    pytest.importorskip(name, reason=f"needs {name}")
    history = tmp_path / "run.jsonl"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accelerator = accelerate.Accelerator(cpu=True, log_with=name, project_dir=str(tmp_path))
        accelerator.init_trackers("test")
        model = network()
        model, optimizer = accelerator.prepare(model, sgd(model, HEALTHY))
        monitor = RankMonitor(model, optimizer=optimizer, history=history)
        accelerator.log(monitor.step(0, 0).metrics, step=0)
        for epoch in epochs(model, optimizer, 2):
            accelerator.log(monitor.step(epoch, epoch).metrics, step=epoch)
        accelerator.end_training()
    assert_logged(READERS[name](tmp_path), history)


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
