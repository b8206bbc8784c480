"""The monitor in distributed training: real processes, which talk by gloo."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.run_history import read_run_history
from tests.support.torch_trainings import (
    TOO_STRONG,
    assert_agrees,
    epochs,
    joined,
    network,
    sgd,
)

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or sys.platform == "win32":
    pytest.skip("this torch has no gloo", allow_module_level=True)


def over_regularized(rank: int, world: int, folder: str) -> None:
    """Train until the monitor stops it; write down what this process saw."""
    model = torch.nn.parallel.DistributedDataParallel(network())
    optimizer = sgd(model, TOO_STRONG)
    monitor = RankMonitor(model, optimizer=optimizer, stop=True, per_layer=True)
    checks = [monitor.step(0)]
    for epoch in epochs(model, optimizer):
        checks.append(monitor.step(epoch))
        if monitor.stops(checks[-1]):
            break
    (Path(folder) / f"replicated {rank}.json").write_text(
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


def test_the_first_process_watches_and_all_stop(folder: Path) -> None:
    first, second = written(folder, "replicated")
    assert first["epochs"] == second["epochs"] < 20
    assert all(layers == ["0", "2"] for layers in first["layers"])
    assert not any(second["layers"]) and not any(second["metrics"])
    assert first["sentences"] and not second["sentences"]
    assert first["stop"][-1] and not any(first["stop"][:-1] + second["stop"])
    # The names and numbers are those of the model that is saved.
    report = analyze(folder / "0.pt")
    for layer in report.layers:
        found = first["metrics"][-1][f"rank_monitor/{layer.name}/min_singular_value"]
        assert found == pytest.approx(layer.min_singular_value, rel=1e-9)
    assert report.layers == analyze(folder / "1.pt").layers


def fully_sharded(model: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2,))
    for layer in model:
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def tensor_parallel(model: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    return parallelize_module(model, init_device_mesh("cpu", (2,)), plan)


def spread(rank: int, world: int, folder: str, how: str) -> None:
    """Train a model of which each process has a part; write down what this process saw."""
    model = {"fsdp2": fully_sharded, "tensor parallel": tensor_parallel}[how](network())
    optimizer = sgd(model, TOO_STRONG)
    monitor = RankMonitor(model, optimizer=optimizer, stop=True, history=f"{folder}/{how}.jsonl")
    checks, reports = [monitor.step(0)], []
    for epoch in epochs(model, optimizer):
        checks.append(monitor.step(epoch))
        whole = {name: x.full_tensor() for name, x in model.state_dict().items()}
        reports.append(analyze(whole) if rank == 0 else None)
        if monitor.stops(checks[-1]):
            break
    if rank == 0:
        for check, report in zip(checks[1:], reports):
            assert report is not None
            assert_agrees(check, report.layers)
    said = [x.sentence for check in checks for x in check.collapses]
    (Path(folder) / f"{how} {rank}.json").write_text(
        json.dumps({"epochs": epoch, "said": said, "readings": len(checks[-1].readings)})
    )


def gathered(rank: int, world: int, folder: str) -> None:
    """Count what each check puts together, without updates and with them."""
    from torch.distributed.tensor.debug import CommDebugMode

    model = fully_sharded(network())
    counts = []
    for updates in (False, True):
        monitor = RankMonitor(model, updates=updates)
        for _ in range(2):
            with CommDebugMode() as seen:
                check = monitor.step()
            counts.append(seen.get_total_counts())
    if rank == 0:
        assert all(reading.update == 0 for reading in check.readings) and check.readings
    (Path(folder) / f"gathered {rank}.json").write_text(json.dumps(counts))


def test_updates_put_no_parameter_together_a_second_time(folder: Path) -> None:
    if not has_fully_shard():
        pytest.skip("this torch has no fully_shard")
    for counts in written(folder, "gathered"):
        assert len(set(counts)) == 1 and counts[0] > 0


@pytest.mark.parametrize("how", ["fsdp2", "tensor parallel"])
def test_all_processes_put_spread_parameters_together(how: str, folder: Path) -> None:
    if not has_fully_shard():
        pytest.skip("this torch has no fully_shard")
    first, second = written(folder, how)
    assert first["epochs"] == second["epochs"] < 20
    assert first["readings"] == 2 and second["readings"] == 0
    assert first["said"] and not second["said"]
    assert any(line.endswith("weight decay 0.3 is likely too strong") for line in first["said"])
    history = read_run_history(folder / f"{how}.jsonl")
    assert history.layers == ("0", "2") and history.checks[-1].stop


def refused(rank: int, world: int, folder: str) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    said = ""
    try:
        RankMonitor(FullyShardedDataParallel(network(), device_id=torch.device("cpu")))
    except UsageError as error:
        said = str(error)
    (Path(folder) / f"refused {rank}.json").write_text(json.dumps(said))


def test_fsdp1_is_refused_in_one_line(folder: Path) -> None:
    if not has_fully_shard():
        pytest.skip("older torch shards no model on a processor")
    assert written(folder, "refused")[0] == (
        "model: FullyShardedDataParallel: its flat shards cannot be monitored; use torch's"
        " fully_shard (FSDP2), or analyze the checkpoints that it saves"
    )


def is_missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


def has_fully_shard() -> bool:
    modules = ("torch.distributed.fsdp._fully_shard", "torch.distributed.tensor")
    return not any(is_missing(module) for module in modules)


def all_trainings(rank: int, world: int, folder: str) -> None:
    """One after the other: to start a process takes as long as all of them."""
    joined(rank, world, folder)
    over_regularized(rank, world, folder)
    if has_fully_shard():
        spread(rank, world, folder, "fsdp2")
        spread(rank, world, folder, "tensor parallel")
        gathered(rank, world, folder)
        refused(rank, world, folder)
    torch.distributed.barrier()
    # Not by the end of the function: taking down gloo with DDP, torch 1.12 can wait for itself.
    os._exit(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have written down what they saw."""
    folder = tmp_path_factory.mktemp("distributed")
    torch.multiprocessing.spawn(all_trainings, (2, str(folder)), nprocs=2)
    return folder


def written(folder: Path, what: str) -> "list[Any]":
    """What each process wrote down."""
    return [json.loads((folder / f"{what} {rank}.json").read_text()) for rank in (0, 1)]
