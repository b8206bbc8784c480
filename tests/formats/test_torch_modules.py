"""Whole modules and TorchScript files that packages ship or make."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allennlp_analyze.sources.formats.registry import read_weights
from allennlp_analyze.sources.formats.torch_file import read_torch

pytestmark = pytest.mark.newest_python


def silero() -> Path:
    package = pytest.importorskip("silero_vad", reason="a package with a TorchScript file")
    return Path(package.__file__).parent / "data"


@pytest.mark.filterwarnings("ignore")
def test_silero_is_read_as_torch_reads_it() -> None:
    path = silero() / "silero_vad.jit"
    found = read_torch(path).tensors
    expected = torch.jit.load(str(path)).state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name].values(), tensor.numpy())
    kinds = {name: tensor.kind for name, tensor in found.items()}
    assert kinds["_model.decoder.rnn.weight_ih"] == "recurrent"
    assert kinds["_model.encoder.0.reparam_conv.weight"] == "convolution"
    assert found["_model.stft.forward_basis_buffer"].is_buffer is True


def test_silero_has_the_shapes_of_its_safetensors() -> None:
    """Release 6.2.3 has other values there, but for the fixed basis: another training."""
    folder = silero()
    script = read_weights(folder / "silero_vad.jit", "silero_vad.jit").tensors
    other = read_weights(folder / "silero_vad_16k.safetensors", "16k.safetensors").tensors
    shapes = [x.shape for name, x in script.items() if name.startswith("_model.")]
    assert shapes == [x.shape for x in other.values()]
    basis = script["_model.stft.forward_basis_buffer"].values()
    np.testing.assert_array_equal(other["stft_conv.weight"].values(), basis)


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "1")
    tasks: Any = pytest.importorskip("ultralytics.nn.tasks", reason="YOLO writes whole modules")
    model = tasks.DetectionModel("yolov8n.yaml", verbose=False)
    checkpoint = {"epoch": -1, "model": None, "ema": model.half(), "train_args": {"lr": 0.1}}
    torch.save(checkpoint, tmp_path / "best.pt")
    found = read_torch(tmp_path / "best.pt").tensors
    expected = model.state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name].values(), tensor.numpy())
    assert {x.kind for name, x in found.items() if len(x.shape) == 4} == {"convolution"}
