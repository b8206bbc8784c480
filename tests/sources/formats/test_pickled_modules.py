"""Whole modules, pickled or scripted: nothing runs, and the names are those of state_dict()."""

import random
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allennlp_analyze import analyze
from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.sources.formats.torch_file import read_torch
from allennlp_analyze.sources.tensor import Weights
from tests.support.torch_files import FORMATS, assert_same, save, zip_file

nn = torch.nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 6)
        self.lstm = nn.LSTM(6, 5, bidirectional=True)
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.attention = nn.MultiheadAttention(6, 2)
        self.list = nn.ModuleList([nn.Linear(6, 7), nn.Linear(7, 9, bias=False)])
        self.free = nn.Parameter(torch.randn(3, 4))
        self.mask_token = nn.Parameter(torch.randn(4, 5))
        self.register_buffer("anchors", torch.randn(8, 4))
        self.register_buffer("cached", torch.randn(8, 4), persistent=False)
        self.register_parameter("nothing", None)
        self.plain = torch.randn(5, 5)
        self.hidden = [nn.Linear(3, 2)]
        self.head = self.list[1]
        self.note = {"path": Path("x"), "when": warnings}  # replaced below

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.list[0](self.table(x))
        return self.list[1](x)


def net() -> Net:
    torch.manual_seed(7)
    model = Net()
    model.note = {"path": Path("x"), "function": nn.functional.relu, "class": Net}
    return model


def assert_is_state_dict(found: Weights, expected: "dict[str, torch.Tensor]") -> None:
    assert list(found.tensors) == list(expected)
    for name, tensor in expected.items():
        assert_same(found.tensors[name].values(), tensor)


@FORMATS
@pytest.mark.filterwarnings("ignore")
def test_the_names_are_those_of_the_state_dict(tmp_path: Path, zipped: bool) -> None:
    model = net()
    found = read_torch(save(model, tmp_path / "model.pt", zipped))
    assert_is_state_dict(found, dict(model.state_dict()))
    facts = {name: (x.kind, x.is_buffer) for name, x in found.tensors.items()}
    assert facts["table.weight"] == ("embedding", False)
    assert facts["lstm.weight_hh_l0_reverse"] == ("recurrent", False)
    assert facts["conv.0.weight"] == ("convolution", False)
    assert facts["conv.1.running_mean"] == facts["anchors"] == (None, True)
    assert facts["list.1.weight"] == facts["head.weight"] == ("linear", False)
    assert facts["free"] == (None, False)
    reasons = {x.name: x.reason for x in found.left_out}
    assert reasons["cached"] == "buffer: not in the state dict"
    attribute = "an attribute of its module, not in the state dict"
    assert reasons["plain"] == reasons["hidden.0.weight"] == attribute


@FORMATS
@pytest.mark.filterwarnings("ignore")
def test_a_file_of_a_module_gives_the_layers_of_the_module(tmp_path: Path, zipped: bool) -> None:
    model = net()
    of_file = analyze(save(model, tmp_path / "model.pt", zipped))
    of_module = analyze(model)
    kinds = {x.name: x.kind for x in of_module.layers}
    assert {x.name: x.kind for x in of_file.layers} == kinds
    assert "mask_token" in kinds and "anchors" not in kinds
    assert of_file.layer("table").kind_source == "graph"
    numbers = [x.singular_values for x in of_module.layers]
    for layer, expected in zip(of_file.layers, numbers):
        np.testing.assert_allclose(layer.singular_values, expected)


@FORMATS
@pytest.mark.filterwarnings("ignore")
def test_a_module_within_a_checkpoint(tmp_path: Path, zipped: bool) -> None:
    """As Ultralytics writes them."""
    model = net()
    value = {"epoch": 1, "model": model, "ema": net(), "optimizer": None, "train_args": {"a": 1}}
    found = read_torch(save(value, tmp_path / "model.pt", zipped))
    assert_is_state_dict(found, dict(model.state_dict()))
    reasons = {x.name: x.reason for x in found.left_out}
    assert reasons["ema.list.0.weight"] == "a second copy of the model: pick it with the key ema"
    found = read_torch(save({**value, "model": None}, tmp_path / "model.pt", zipped))
    assert_is_state_dict(found, dict(value["ema"].state_dict()))


def test_a_module_of_modules_that_are_not_there(tmp_path: Path) -> None:
    """No class is imported: those of a package that is gone are read as well."""
    source = "import torch\nclass Gone(torch.nn.Module):\n  pass\n"
    (tmp_path / "vanishing.py").write_text(source)
    sys.path.insert(0, str(tmp_path))
    try:
        module = __import__("vanishing").Gone()
        module.inner = nn.Linear(5, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = save(module, tmp_path / "model.pt", True)
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["vanishing"]
    (tmp_path / "vanishing.py").write_text("raise SystemExit('imported')\n")
    assert list(read_torch(path).tensors) == ["inner.weight", "inner.bias"]
    assert "vanishing" not in sys.modules


@pytest.mark.filterwarnings("ignore")
def test_what_only_wraps_a_module_is_taken_off(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(5, 4))
    path = save({"model": nn.DataParallel(nn.DataParallel(model))}, tmp_path / "model.pt", True)
    assert_is_state_dict(read_torch(path), dict(model.state_dict()))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Sequential(nn.Linear(8, 7), nn.ReLU())
        self.register_buffer("table", torch.randn(5, 5))
        self.sizes = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) + torch.ones(7)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_is_read_without_its_code(how: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    model = Small()
    made = torch.jit.script(model) if how == "script" else torch.jit.trace(model, torch.ones(1, 6))
    made.save(str(tmp_path / "m.jit"))
    found = read_torch(tmp_path / "m.jit")
    expected = torch.jit.load(str(tmp_path / "m.jit")).state_dict()
    assert_is_state_dict(found, dict(expected))
    facts = {name: (x.kind, x.is_buffer) for name, x in found.tensors.items()}
    assert facts["table"] == (None, True)
    assert facts["second.0.weight"] == ("linear", False)
    assert [x.name for x in analyze(tmp_path / "m.jit").layers] == ["first", "second.0"]


@pytest.mark.filterwarnings("ignore")
def test_the_weights_of_a_frozen_module_are_its_constants(tmp_path: Path) -> None:
    model = Small().eval()
    torch.jit.freeze(torch.jit.script(model)).save(str(tmp_path / "m.jit"))
    layers = analyze(tmp_path / "m.jit").layers
    assert sorted((x.N, x.M) for x in layers) == [(8, 6), (8, 7)]
    assert all(x.name.startswith("constants.") for x in layers)


@pytest.mark.filterwarnings("ignore")
def test_torch_export_files_are_read(tmp_path: Path) -> None:
    if not hasattr(torch, "export") or not hasattr(torch.export, "save"):
        pytest.skip("this torch has no torch.export")
    torch.manual_seed(7)
    model = Small()
    torch.export.save(torch.export.export(model, (torch.ones(1, 6),)), tmp_path / "m.pt2")
    if b"archive_format" not in (tmp_path / "m.pt2").read_bytes():
        with pytest.raises(CheckpointError, match="before 2.7"):
            read_torch(tmp_path / "m.pt2")
        return
    found = read_torch(tmp_path / "m.pt2")
    expected = model.state_dict()
    assert set(found.tensors) == set(expected)
    for name, tensor in expected.items():
        assert_same(found.tensors[name].values(), tensor)
    assert found.tensors["table"].is_buffer is True
    assert found.tensors["first.weight"].is_buffer is False


@pytest.mark.parametrize(
    "pickled", [b"\x80\x02}.", b"\x80\x02N.", b"\x80\x02c__torch__\nM\n)\x81."]
)
def test_an_archive_without_a_module_is_named(pickled: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.jit").write_bytes(zip_file(pickled, constants_pkl=b"\x80\x02)."))
    with pytest.raises(CheckpointError, match="is a TorchScript archive without a module"):
        read_torch(tmp_path / "m.jit")


def test_tiny_models_of_transformers(tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        vocab_size=50,
        max_position_embeddings=32,
    )
    model = transformers.BertModel(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save(model, tmp_path / "model.pt", True)
    found = read_torch(path)
    assert_is_state_dict(found, dict(model.state_dict()))
    kinds = {x.name: x.kind for x in analyze(model).layers}
    assert {x.name: x.kind for x in analyze(path).layers} == kinds


@pytest.mark.filterwarnings("ignore")
def test_damaged_modules_end_in_one_line(tmp_path: Path) -> None:
    """Bytes are changed, cut and doubled, by seed, in files of every form that is read here."""
    torch.manual_seed(7)
    model = Small()
    value = {"model": model, "ema": Small(), "a": np.eye(3), "q": None}
    if hasattr(torch, "quantize_per_tensor"):
        value["q"] = torch.quantize_per_tensor(torch.randn(4, 3), 0.1, 3, torch.qint8)
    contents = []
    for zipped in (False, True):
        contents.append(save(value, tmp_path / "w", zipped).read_bytes())
    torch.jit.script(model).save(str(tmp_path / "w"))
    contents.append((tmp_path / "w").read_bytes())
    if hasattr(torch, "export") and hasattr(torch.export, "save"):
        torch.export.save(torch.export.export(model, (torch.ones(1, 6),)), tmp_path / "w.pt2")
        contents.append((tmp_path / "w.pt2").read_bytes())
    drawn = random.Random(17)
    read, said = 0, ""
    for content in contents:
        for _ in range(60):
            changed = bytearray(content)
            for _ in range(drawn.randint(1, 3)):
                at = drawn.randrange(len(changed))
                # The pickle is at the beginning of the file, or the names are at its end.
                at = drawn.choice((at, at % 4096, -1 - at % 1500))
                how = drawn.random()
                if how < 0.7:
                    changed[at] = drawn.randrange(256)
                elif how < 0.85:
                    del changed[at : at + drawn.randint(1, 9)]
                else:
                    changed[at:at] = changed[at : at + drawn.randint(1, 40)]
            (tmp_path / "w").write_bytes(changed)
            try:
                for tensor in read_torch(tmp_path / "w").tensors.values():
                    if tensor.unsupported is None:
                        assert tensor.values().shape == tensor.shape
                read += 1
            except (CheckpointError, TensorError) as error:
                said = str(error)
            assert "\n" not in said
    assert 0 < read < 60 * len(contents)
