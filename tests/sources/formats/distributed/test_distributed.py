"""Directories of torch.distributed.checkpoint, saved by one process and by two."""

import argparse
import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.distributed.reading import read_distributed
from allennlp_analyze.sources.opening import open_source
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE

pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled"),
]
torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint", reason="writes the files")

TWO = """
import sys, torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
path, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{path}.store", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))
torch.manual_seed(0)
state = {
    "rows.weight": distribute_tensor(torch.randn(5, 4), mesh, [Shard(0)]),
    "columns.weight": distribute_tensor(torch.randn(6, 7), mesh, [Shard(1)]),
    "whole.weight": distribute_tensor(torch.randn(3, 2), mesh, [Replicate()]),
    "conv.weight": distribute_tensor(torch.randn(4, 3, 2, 2), mesh, [Shard(0)]),
    "few.weight": distribute_tensor(torch.randn(1, 4), mesh, [Shard(0)]),
    "bf.weight": distribute_tensor(torch.randn(4, 4).bfloat16(), mesh, [Shard(0)]),
}
dcp.save({"model": state}, checkpoint_id=path)
full = {name: tensor.full_tensor() for name, tensor in state.items()}
if rank == 0:
    torch.save(full, path + ".full")
dist.destroy_process_group()
"""


def saved(path: Path, state: "dict[str, Any]") -> Path:
    dcp.save(state, checkpoint_id=path, no_dist=True)
    return path


def test_a_plain_state_dict(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 3))
    path = saved(tmp_path / "c", model.state_dict())
    with open_source(str(path)) as source:
        assert list(source.tensors) == list(model.state_dict())
        for name, tensor in model.state_dict().items():
            assert np.array_equal(source.tensors[name].values(), tensor.numpy())
            assert source.tensors[name].unpacked == 0
        files = {Path(state.path).name for state in source.files if state.size is not None}
        assert {"__0_0.distcp", ".metadata"} <= files


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn", "int64", "bool", "complex64"]
)
def test_every_type(tmp_path: Path, dtype: str) -> None:
    tensor = (torch.randn(5, 3) * 3).to(getattr(torch, dtype))
    state = {"w": tensor, "scalar": tensor[0, 0].clone(), "empty": tensor[:0], "t": tensor.T}
    tensors = read_distributed(saved(tmp_path / "c", state) / ".metadata").tensors
    for name, expected in state.items():
        wide = expected.float() if dtype.startswith(("bf", "float8")) else expected
        assert tensors[name].dtype == dtype
        if tensors[name].unsupported is None:
            assert np.array_equal(tensors[name].values(), wide.numpy())


def test_the_optimizer_is_no_part_of_the_model(tmp_path: Path) -> None:
    from torch.distributed.checkpoint.state_dict import get_state_dict

    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    parts, state = get_state_dict(model, optimizer)
    path = saved(tmp_path / "c", {"model": parts, "optim": state, "step": 3, "ema": parts})
    with open_source(str(path)) as source:
        matrices, skipped = find_matrices(source)
    assert [matrix.name for matrix in matrices] == ["weight"]
    reasons = {one.parameter: one.reason for one in skipped}
    assert reasons["optim.state.weight.exp_avg"] == "of the optimizer, not of the model"
    assert reasons["ema.weight"] == "beside the model, under ema"


def test_a_module_may_be_called_opt(tmp_path: Path) -> None:
    flat = {"opt.weight": torch.randn(4, 3), "head.weight": torch.randn(3, 4)}
    tensors = read_distributed(saved(tmp_path / "c", flat) / ".metadata").tensors
    assert list(tensors) == list(flat)


def test_two_processes(tmp_path: Path) -> None:
    pytest.importorskip("torch.distributed.tensor", reason="shards the tensors")
    path = tmp_path / "c"
    command = [sys.executable, "-W", "ignore", "-c", TWO, str(path)]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank)], env=environment, cwd=ROOT) for rank in range(2)
    ]
    assert [process.wait(timeout=PATIENCE) for process in processes] == [0, 0]
    assert len(list(path.glob("*.distcp"))) == 2
    expected = torch.load(f"{path}.full")
    tensors = read_distributed(path / ".metadata").tensors
    assert set(tensors) == set(expected)
    for name, tensor in expected.items():
        assert np.array_equal(tensors[name].values(), tensor.float().numpy()), name
    assert tensors["rows.weight"].unpacked == 80 and tensors["whole.weight"].unpacked == 0


def test_a_large_tensor_is_put_together_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chunks, written as tensors of their own, become those of one."""
    whole = torch.arange(3000 * 3000, dtype=torch.float32).reshape(3000, 3000)
    boxes = [(0, 0, 1000, 3000), (1000, 0, 2000, 1700), (1000, 1700, 2000, 1300)]
    parts = {
        f"p{i}": whole[r : r + n, c : c + m].contiguous() for i, (r, c, n, m) in enumerate(boxes)
    }
    path = saved(tmp_path / "c", parts)

    def join(metadata: Any) -> None:
        from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex

        entry = metadata.state_dict_metadata["p0"]
        entry = replace(entry, size=torch.Size([3000, 3000]), chunks=[])
        places = {}
        for i, (r, c, n, m) in enumerate(boxes):
            at = torch.Size([r, c])
            entry.chunks.append(ChunkStorageMetadata(at, torch.Size([n, m])))
            old = next(v for k, v in metadata.storage_data.items() if k.fqn == f"p{i}")
            places[MetadataIndex("w", at)] = old
        metadata.state_dict_metadata = {"w": entry}
        metadata.storage_data = places

    changed(path, join)
    values = read_distributed(path / ".metadata").tensors["w"].values()
    assert np.array_equal(values, whole.numpy())


def changed(path: Path, change: "Callable[[Any], None]") -> None:
    """Change the metadata, which the test wrote itself."""
    metadata = pickle.loads((path / ".metadata").read_bytes())
    change(metadata)
    (path / ".metadata").write_bytes(pickle.dumps(metadata))


def stored(**new: object) -> "Callable[[Any], None]":
    def change(metadata: Any) -> None:
        for info in metadata.storage_data.values():
            for key, value in new.items():
                object.__setattr__(info, key, value)

    return change


def described(**new: object) -> "Callable[[Any], None]":
    def change(metadata: Any) -> None:
        for entry in metadata.state_dict_metadata.values():
            for key, value in new.items():
                setattr(entry, key, value)

    return change


def chunk(offsets: "list[int]", sizes: "list[int]") -> Any:
    from torch.distributed.checkpoint.metadata import ChunkStorageMetadata

    return ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))


WRONG: "dict[str, Callable[[], Callable[[Any], None]]]" = {
    "outside": lambda: stored(relative_path="../c/__0_0.distcp"),
    "absolute": lambda: stored(relative_path="/etc/passwd"),
    "missing": lambda: stored(relative_path="none.distcp"),
    "beyond the file": lambda: stored(length=2**62),
    "a negative offset": lambda: stored(offset=-1),
    "compressed": lambda: stored(transform_descriptors=["zstd"]),
    "a hole": lambda: described(chunks=[chunk([0, 0], [2, 4])]),
    "an overlap": lambda: described(chunks=[chunk([0, 0], [2, 4]), chunk([1, 0], [1, 4])]),
    "outside its tensor": lambda: described(chunks=[chunk([1, 0], [3, 4])]),
    "another number of axes": lambda: described(chunks=[chunk([0], [12])]),
    "a large shape": lambda: described(size=torch.Size([2**60, 2**60])),
    "no chunks": lambda: described(chunks=[]),
}


@pytest.mark.parametrize("case", WRONG)
def test_metadata_that_cannot_be_is_refused(tmp_path: Path, case: str) -> None:
    path = saved(tmp_path / "c", {"w": torch.ones(3, 4)})
    changed(path, WRONG[case]())
    with pytest.raises(CheckpointError, match=r"^[^\n]+\.metadata: [^\n]+$"):
        read_distributed(path / ".metadata")


def test_the_values_are_checked(tmp_path: Path) -> None:
    path = saved(tmp_path / "c", {"w": torch.full((3, 4), 7.0)})
    data = bytearray((path / "__0_0.distcp").read_bytes())
    place = data.find(np.full(12, 7, np.float32).tobytes())
    data[place] ^= 1
    (path / "__0_0.distcp").write_bytes(data)
    with pytest.raises(CheckpointError, match="w: a chunk fails its checksum"):
        read_distributed(path / ".metadata").tensors["w"].values()


def test_nothing_in_it_is_executed(tmp_path: Path) -> None:
    """Neither what the metadata nor what a chunk calls."""

    class Evil:
        def __reduce__(self) -> "tuple[object, ...]":
            return os.mkdir, (str(tmp_path / "canary"),)

    path = saved(tmp_path / "c", {"w": torch.ones(3, 4)})

    def put(metadata: Any) -> None:
        metadata.planner_data = Evil()

    changed(path, put)
    assert list(read_distributed(path / ".metadata").tensors) == ["w"]
    changed_chunk = saved(tmp_path / "d", {"w": torch.ones(3, 4)})
    torch.save(Evil(), changed_chunk / "__0_0.distcp")
    changed(changed_chunk, stored(length=(changed_chunk / "__0_0.distcp").stat().st_size))
    tensor = read_distributed(changed_chunk / ".metadata").tensors["w"]
    with pytest.raises(CheckpointError, match="^w: "):
        tensor.values()
    (path / ".metadata").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="is not the metadata of a distributed checkpoint"):
        read_distributed(path / ".metadata")
    assert not (tmp_path / "canary").exists()


def test_mutations_are_read_or_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "c", {"model": {"w": torch.ones(3, 4), "v": torch.ones(4)}, "n": 1})
    for file in (path / ".metadata", path / "__0_0.distcp"):
        data = file.read_bytes()
        for seed in range(100):
            rng = random.Random(seed)
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            file.write_bytes(damaged)
            said = None
            try:
                for tensor in read_distributed(path / ".metadata").tensors.values():
                    assert tensor.load is None or tensor.values().shape == tensor.shape
            except CheckpointError as error:
                said = str(error)
            assert said is None or "\n" not in said, seed
        file.write_bytes(data)


def test_the_command_reads_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "c", {"layer.weight": torch.randn(40, 20)})
    code = main([str(path), "--output-dir", str(tmp_path / "out"), "--no-plots"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "layer" in printed.out


def test_zero_model_states_of_deepspeed(tmp_path: Path) -> None:
    """A file of torch.save with the model under `module`, as DeepSpeed lays it out."""
    path = tmp_path / "mp_rank_00_model_states.pt"
    module = {"layer.weight": torch.randn(4, 3), "layer.bias": torch.randn(4)}
    torch.save(
        {
            "module": module,
            "buffer_names": [],
            "optimizer": None,
            "param_shapes": [{"layer.weight": torch.Size([4, 3])}],
            "frozen_param_shapes": None,
            "shared_params": {},
            "lr_scheduler": None,
            "data_sampler": None,
            "random_ltd": None,
            "sparse_tensor_module_names": set(),
            "skipped_steps": 0,
            "global_steps": 10,
            "global_samples": 80,
            "dp_world_size": 2,
            "mp_world_size": 1,
            "ds_config": {"train_batch_size": 8, "zero_optimization": {"stage": 2}},
            "ds_version": "0.18.2",
        },
        path,
    )
    with open_source(str(path)) as source:
        assert list(source.tensors) == list(module)
        assert np.array_equal(
            source.tensors["layer.weight"].values(), module["layer.weight"].numpy()
        )


def test_a_checkpoint_of_megatron(tmp_path: Path) -> None:
    """A file of torch.save with the model in dictionaries by name, as Megatron-LM lays it out."""
    path = tmp_path / "iter_0000100" / "mp_rank_00" / "model_optim_rng.pt"
    path.parent.mkdir(parents=True)
    query = torch.randn(60, 20)
    encoder = {"layers.0.self_attention.query_key_value.weight": query}
    torch.save(
        {
            "args": argparse.Namespace(num_layers=1),
            "checkpoint_version": 3.0,
            "iteration": 100,
            "model": {"language_model": {"encoder": encoder}},
            "optimizer": {
                "optimizer": {"state": {0: {"exp_avg": query + 1}}, "param_groups": [{}]}
            },
            "opt_param_scheduler": {"max_lr": 1e-4},
            "rng_state": [{"torch_rng_state": torch.zeros(10, dtype=torch.uint8)}],
        },
        path,
    )
    with open_source(str(tmp_path)) as source:
        (tensor,) = source.tensors.values()
    assert tensor.name == f"language_model.encoder.{next(iter(encoder))}"
    assert np.array_equal(tensor.values(), query.numpy())
    assert {one.reason for one in source.left_out} >= {"of the optimizer, not of the model"}
