"""Tensors that wrap another: the DTensors of FSDP2, whole or a shard, and unknown ones."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from allennlp_analyze import analyze
from allennlp_analyze.sources.formats.torch_file import read_torch
from allennlp_analyze.sources.in_memory import mapping_source
from allennlp_analyze.sources.pickles.description import (
    DType,
    StandIn,
    StorageRef,
    TensorRef,
    Unknown,
)
from allennlp_analyze.sources.pickles.integers import integers
from allennlp_analyze.sources.pickles.wrappers import wrapped_tensor
from tests.support.torch_files import FORMATS, assert_same, save

DTENSOR = Unknown("torch.distributed.tensor", "DTensor")
LOCAL = TensorRef("float32", (4, 3), (3, 1), 0, StorageRef("0", "float32", 12, 0, 12))


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    """A mesh of this process alone."""
    distributed = pytest.importorskip("torch.distributed.tensor")
    if not hasattr(distributed, "DTensor") or not torch.distributed.is_available():
        pytest.skip("this torch has no DTensor")
    from torch.distributed.device_mesh import init_device_mesh

    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@FORMATS
def test_a_whole_dtensor_is_read(mesh: Any, tmp_path: Path, zipped: bool) -> None:
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    weight = torch.randn(12, 7)
    state = {
        "a.weight": distribute_tensor(weight, mesh, [Shard(0)]),
        "b.weight": torch.nn.Parameter(distribute_tensor(weight * 2, mesh, [Replicate()])),
    }
    found = read_torch(save(state, tmp_path / "w", zipped)).tensors
    assert list(found) == ["a.weight", "b.weight"]
    assert_same(found["a.weight"].values(), weight)
    assert_same(found["b.weight"].values(), weight * 2)
    assert_same(mapping_source(state).tensors["b.weight"].values(), weight * 2)


@FORMATS
def test_a_shard_is_listed_and_counts(mesh: Any, tmp_path: Path, zipped: bool) -> None:
    from torch.distributed.tensor import DTensor, Shard

    local = torch.randn(30, 20)
    shard = DTensor.from_local(
        local, mesh, [Shard(0)], run_check=False, shape=torch.Size((120, 20)), stride=(20, 1)
    )
    state = {"a.weight": shard, "b.weight": torch.randn(30, 20)}
    path = save(state, tmp_path / "w.pt", zipped)
    found = read_torch(path).tensors["a.weight"]
    assert found.shape == (120, 20)
    assert "a DTensor: one of" in (found.unsupported or "")
    assert "save full_tensor() instead" in (found.unsupported or "")
    (in_memory, _) = mapping_source(state).tensors.values()
    assert (in_memory.shape, in_memory.unsupported) == (found.shape, found.unsupported)
    summary = analyze(path).summary
    assert summary.judged_percent == 20
    assert summary.verdict == "not_assessed"
    assert "20% of the weights were judged, 80% could not be read" in summary.sentence


def spec(ranks: int, *placements: str) -> StandIn:
    mesh, found = StandIn("DeviceMesh"), StandIn("DTensorSpec")
    mesh.state = {"_rank_map": replace(LOCAL, shape=(ranks,))}
    placed = tuple(StandIn(f"torch.distributed.tensor.placement_types.{x}") for x in placements)
    found.state = {"mesh": mesh, "placements": placed}
    return found


def wrapped(cls: object, size: tuple[int, ...], state: object) -> TensorRef:
    return wrapped_tensor((cls, DType("float32"), size, (3, 1)), state, integers)


def test_what_a_shard_is_one_of() -> None:
    state = {"_local_tensor": LOCAL, "_spec": spec(8, "Shard")}
    assert wrapped(DTENSOR, (32, 3), (None, state)) == TensorRef(
        "float32", (32, 3), unsupported="a DTensor: one of 8 shards; save full_tensor() instead"
    )
    assert wrapped(DTENSOR, (4, 3), state) is LOCAL
    state["_spec"] = spec(2, "Replicate", "Partial")
    reason = "a DTensor: one of 2 partial sums; save full_tensor() instead"
    assert wrapped(DTENSOR, (4, 3), state).unsupported == reason
    del state["_spec"]
    assert "one of several shards" in (wrapped(DTENSOR, (32, 3), state).unsupported or "")


def test_a_tensor_within_another_class_is_named() -> None:
    cls = Unknown("torchao.dtypes", "AffineQuantizedTensor")
    for state in ({"_local_tensor": LOCAL}, None, 3, (None, {})):
        found = wrapped(cls, (4, 3), state)
        assert found.shape == (4, 3)
        assert found.unsupported == (
            "a tensor within a torchao.dtypes.AffineQuantizedTensor, which is not read"
        )
