"""Writes the same tensors in every format of the registry."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from allennlp_analyze.sources.formats.registry import (
    Distributed,
    Flax,
    Gguf,
    Keras,
    Npy,
    Npz,
    Onnx,
    Safetensors,
    TorchFile,
)
from tests.support import gguf_files, msgpack_files
from tests.support.onnx_files import saved


def save_npz(tensors, path):
    with path.open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in tensors.items()})


def save_npy(tensors, path):
    with path.open("wb") as file:
        np.save(file, next(iter(tensors.values())).numpy())


def save_keras(tensors, path):
    h5py = pytest.importorskip("h5py", reason="an extra; tests/formats has Keras's own files")
    with h5py.File(path, "w") as file:
        for name, tensor in tensors.items():  # a kernel is inputs x outputs
            file[name.replace(".weight", "/kernel")] = tensor.numpy().T


def save_onnx(tensors: "dict[str, torch.Tensor]", path: Path) -> None:
    path.write_bytes(saved({name: tensor.numpy() for name, tensor in tensors.items()}))


def save_distributed(tensors: "dict[str, torch.Tensor]", path: Path) -> None:
    save = pytest.importorskip("torch.distributed.checkpoint").save
    save(tensors, checkpoint_id=path.with_name("all"), no_dist=True)
    for file in path.with_name("all").iterdir():
        file.replace(path if file.name == ".metadata" else path.with_name(file.name))


SAVERS = {
    Gguf: gguf_files.save,
    Npz: save_npz,
    Onnx: save_onnx,
    Npy: save_npy,
    Keras: save_keras,
    Distributed: save_distributed,
    Safetensors: save_file,
    Flax: msgpack_files.save,
    TorchFile: torch.save,
}
