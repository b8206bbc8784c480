"""Trainings by `allennlp train`, and what they leave: metrics, warnings, TensorBoard and W&B."""

import json
import re
import shutil
import struct
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import analyze
from tests.support.commands import ROOT, run_module
from tests.support.wandb_files import history_rows

EXAMPLE = ROOT / "examples" / "rank_monitor"
ENCODER = "encoder._feedforward._linear_layers.0"
PROJECTION = "tag_projection_layer._module"
PREFIX = "rank_monitor/"
# So strong that all but what the tags need vanishes within 6 epochs; on the encoder alone.
L2 = {"model.regularizer.regexes": [["encoder", {"type": "l2", "alpha": 0.1}]]}
WEIGHT_DECAY = {"trainer.optimizer.parameter_groups": [[["encoder"], {"weight_decay": 0.2}]]}


def train(
    directory: Path, *options: str, code: int = 0, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`allennlp train` with the example's configuration, the results in `directory`/out."""
    for name in ("tagger.jsonnet", "train.tsv", "dev.tsv"):
        shutil.copy(EXAMPLE / name, directory / name)
    done = run_module(
        "allennlp",
        *("train", "tagger.jsonnet", "-s", "out", "--file-friendly-logging", *options),
        cwd=directory,
        PYTHONPATH=str(ROOT),
        **environment,
    )
    assert done.returncode == code, done.stderr
    return done


def overriding(*changes: "dict[str, Any]", callbacks: Any = None) -> "tuple[str, str]":
    """The option that changes the configuration, a key to a value."""
    together: dict[str, Any] = {} if callbacks is None else {"trainer.callbacks": callbacks}
    for change in changes:
        together.update(change)
    return "-o", json.dumps(together)


def included(*packages: str) -> "list[str]":
    return [word for package in packages for word in ("--include-package", package)]


def warnings_in(log: str) -> "list[str]":
    """What the monitor and its callback warned of."""
    return re.findall(r"WARNING - allennlp_analyze\.[\w.]+ - (.*)", log)


def metrics_of(directory: Path, epoch: "int | None" = None) -> "dict[str, Any]":
    """A metrics file, the last without `epoch`."""
    name = "metrics.json" if epoch is None else f"metrics_epoch_{epoch}.json"
    return json.loads((directory / "out" / name).read_text())


def watched(numbers: "dict[str, Any]") -> "dict[str, Any]":
    """The monitor's numbers of layers among them: those that `numbers_of` has."""
    measures = ("min_singular_value", "rank_loss_percent", "stable_rank", "alpha")
    return {
        k: v
        for k, v in numbers.items()
        if k.startswith(PREFIX) and k.rpartition("/")[2] in measures
    }


def tensorboard(directory: Path, part: str) -> "dict[str, list[tuple[int, float]]]":
    """Every curve in log/`part`: (step, value) in the order of writing.

    A file of events is a sequence of records: the length in 8 bytes, its checksum in 4, an Event,
    and its checksum in 4.
    """
    from tensorboardX.proto import event_pb2

    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for path in sorted((directory / "out" / "log" / part).glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            for value in event.summary.value:
                curves[value.tag].append((event.step, value.simple_value))
            at += length + 16
    return dict(curves)


def wandb_rows(directory: Path) -> "list[dict[str, Any]]":
    """The rows that W&B has kept of an offline run."""
    return history_rows(directory / "out" / "wandb")


PLUGIN = "allennlp_analyze.plugin"
OURS = "tests.support.rank_monitor_callbacks"
MONITOR = {"type": "rank_monitor", "kinds": ["linear"], "per_layer": True}
SIGMA_MIN = f"{PREFIX}{ENCODER}/min_singular_value"
LOST = f"{PREFIX}{ENCODER}/rank_loss_percent"


def numbers_of(model: Any) -> dict[str, Any]:
    """What the report on `model` says, under the names of the log, to the last bits."""
    found = {}
    for layer in analyze(model, kinds="linear").layers:
        numbers = {
            "min_singular_value": layer.min_singular_value,
            "rank_loss_percent": 100.0 * layer.lost_directions / layer.M,
            "stable_rank": layer.stable_rank,
            "alpha": layer.power_law.alpha if layer.power_law is not None else None,
        }
        for name, value in numbers.items():
            if value is not None:
                found[f"{PREFIX}{layer.name}/{name}"] = pytest.approx(value, rel=1e-9)
    return found
