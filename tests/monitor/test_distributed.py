"""The monitor in distributed training: real processes, which talk by gloo."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.errors import UsageError
from tests.support.torch_trainings import TOO_STRONG, epochs, network, sgd

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or sys.platform == "win32":
    pytest.skip("this torch has no gloo", allow_module_level=True)


def joined(rank: int, world: int, folder: str) -> None:
    """Join the other processes, by a file: a port that is free now may be taken by then."""
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=120),
    )


def over_regularized(rank: int, world: int, folder: str) -> None:
    """Train until the monitor stops it; write down what this process saw."""
    joined(rank, world, folder)
    model = torch.nn.parallel.DistributedDataParallel(network())
    optimizer = sgd(model, TOO_STRONG)
    monitor = RankMonitor(model, optimizer=optimizer, stop=True)
    checks = [monitor.step(0)]
    for epoch in epochs(model, optimizer):
        checks.append(monitor.step(epoch))
        if monitor.stops(checks[-1]):
            break
    (Path(folder) / f"{rank}.json").write_text(
        json.dumps(
            {
                "epochs": epoch,
                "layers": [[x.layer for x in check.readings] for check in checks],
                "metrics": [check.metrics for check in checks],
                "sentences": [x.sentence for check in checks for x in check.collapses],
                "stop": [check.stop for check in checks],
            }
        )
    )
    torch.save(model.module.state_dict(), Path(folder) / f"{rank}.pt")
    torch.distributed.barrier()
    # Not by the end of the function: taking down gloo with DDP, torch 1.12 can wait for itself.
    os._exit(0)


def test_the_first_process_watches_and_all_stop(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(over_regularized, (2, str(tmp_path)), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["epochs"] == second["epochs"] < 20
    assert all(layers == ["0", "2"] for layers in first["layers"])
    assert not any(second["layers"]) and not any(second["metrics"])
    assert first["sentences"] and not second["sentences"]
    assert first["stop"][-1] and not any(first["stop"][:-1] + second["stop"])
    # The names and numbers are those of the model that is saved.
    report = analyze(tmp_path / "0.pt")
    for layer in report.layers:
        found = first["metrics"][-1][f"rank_monitor/{layer.name}/min_singular_value"]
        assert found == pytest.approx(layer.min_singular_value, rel=1e-9)
    assert report.layers == analyze(tmp_path / "1.pt").layers


def sharded(rank: int, world: int, folder: str) -> None:
    joined(rank, world, folder)
    said: list[str] = []
    for shard in sharders():
        model: Any = shard(network())
        try:
            RankMonitor(model)
        except UsageError as error:
            said.append(str(error))
    (Path(folder) / f"{rank}.json").write_text(json.dumps(said))
    torch.distributed.destroy_process_group()


def sharders() -> list[Any]:
    """What torch shards a model with on a processor."""
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
    except ImportError:
        return []
    return [lambda model: fully_shard(model, mesh=init_device_mesh("cpu", (2,)))]


def test_sharded_models_are_refused_in_one_line(tmp_path: Path) -> None:
    if not sharders():
        pytest.skip("this torch shards no model on a processor")
    torch.multiprocessing.spawn(sharded, (2, str(tmp_path)), nprocs=2)
    for rank in (0, 1):
        (line,) = json.loads((tmp_path / f"{rank}.json").read_text())
        assert line.endswith("a sharded model cannot be monitored") and "\n" not in line
