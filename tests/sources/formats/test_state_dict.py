"""Every tensor of a checkpoint is the model's, or listed with what it is instead."""

import argparse
import datetime
import io
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze import analyze, load
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import CheckpointError, SourceError, UsageError
from allennlp_analyze.sources.formats.registry import read_weights
from allennlp_analyze.sources.formats.torch_file import read_torch
from allennlp_analyze.sources.in_memory import mapping_source
from tests.support.torch_files import FORMATS, assert_same, save

nn = torch.nn


def body() -> dict[str, torch.Tensor]:
    return {"encoder.weight": torch.randn(8, 5), "encoder.bias": torch.randn(8)}


def dead_head() -> dict[str, torch.Tensor]:
    """20 of 64 directions are dead."""
    weight = torch.randn(300, 64, generator=torch.Generator().manual_seed(0))
    weight[:, :20] = 0
    return {"weight": weight, "bias": torch.zeros(300)}


def listed(value: Any, path: Path, key: "str | None" = None) -> tuple[list[str], dict[str, str]]:
    """The names of the model's tensors, and the reasons of the others, the same in memory."""
    found = read_torch(save(value, path, True), key=key)
    source = mapping_source(value, key)
    reasons = {x.name: x.reason for x in found.left_out}
    assert list(found.tensors) == list(source.tensors)
    assert reasons == {x.name: x.reason for x in source.left_out}
    assert not set(reasons) & set(found.tensors)
    return list(found.tensors), reasons


def test_siblings_keep_their_keys(tmp_path: Path) -> None:
    head = {f"0.{name}": x for name, x in dead_head().items()}
    value = {"model": body(), "generator": head, "epoch": 3}
    names, reasons = listed(value, tmp_path / "w.pt")
    assert names == [
        "model.encoder.weight",
        "model.encoder.bias",
        "generator.0.weight",
        "generator.0.bias",
    ]
    assert reasons == {}


def test_nested_state_dicts_have_paths(tmp_path: Path) -> None:
    value = {"net": {**body(), "classifier": {"final": dead_head()}}}
    names, _ = listed(value, tmp_path / "w.pt")
    assert names[2:] == ["classifier.final.weight", "classifier.final.bias"]
    value = {"encoder": dead_head(), "class_weights": torch.rand(10, 5)}
    names, _ = listed(value, tmp_path / "w.pt")
    assert names == ["encoder.weight", "encoder.bias", "class_weights"]


@pytest.mark.parametrize("wrap", ["sibling", "nested", "numpy", "list"])
def test_the_dead_head_is_found_wherever_it_is(wrap: str, tmp_path: Path) -> None:
    head = dead_head()
    value: Any = {
        "sibling": {"model": body(), "generator": head},
        "nested": {"net": {**body(), "classifier": head}},
        "numpy": {**body(), "out.weight": head["weight"].numpy(), "out.bias": head["bias"].numpy()},
        "list": [body(), head, {"state": {}, "param_groups": [1]}],
    }[wrap]
    torch.save(value, tmp_path / "w.pt")
    report = analyze(tmp_path / "w.pt")
    (head_layer,) = [x for x in report.layers if x.N == 300]
    assert head_layer.lost_directions == 20
    assert report.summary.verdict in ("collapsed", "dead_units")
    if isinstance(value, dict):
        in_memory = analyze(value)
        assert [x.name for x in in_memory.layers] == [x.name for x in report.layers]
        assert in_memory.summary.verdict == report.summary.verdict


@FORMATS
def test_what_a_training_holds_beside_its_model_is_named(tmp_path: Path, zipped: bool) -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 5)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "my_optim": [optimizer.state_dict()],
        "odd": optimizer.state_dict(),
        "lr_scheduler": {"base": torch.ones(2)},
        "rng_state": torch.get_rng_state(),
        "random_state": random.getstate(),
        "numpy_rng": np.random.RandomState(1).get_state(),
        "grad_scaler": {"scale": torch.ones(1)},
        "hyper_parameters": {"class_weights": torch.ones(3)},
        "callbacks": {"early": {"best": torch.ones(2, 2)}},
        "loss": torch.tensor(0.5),
        "losses": [torch.tensor(1.0), torch.tensor(2.0)],
        "args": argparse.Namespace(lr=1e-3, path=Path("somewhere")),
        "started": datetime.datetime(2026, 1, 2),
    }
    found = read_torch(save(value, tmp_path / "w.pt", zipped))
    assert list(found.tensors) == list(model.state_dict())
    reasons = {x.name: x.reason for x in found.left_out}
    assert reasons["optimizer.state.0.exp_avg"] == "of the optimizer, not of the model"
    assert reasons["my_optim.0.state.1.exp_avg_sq"] == "of the optimizer, not of the model"
    assert reasons["odd.state.3.step"] == "of the optimizer, not of the model"
    assert reasons["lr_scheduler.base"] == "of the learning-rate scheduler, not of the model"
    assert reasons["rng_state"] == "a random generator's state, not of the model"
    assert reasons["grad_scaler.scale"] == "of the loss scaler, not of the model"
    assert reasons["hyper_parameters.class_weights"] == "of the settings, not of the model"
    assert reasons["callbacks.early.best"] == "of the training, not of the model"
    assert reasons["loss"] == reasons["losses.1"] == "of the training, not of the model"
    report = analyze(tmp_path / "w.pt")
    assert report.summary.judged_percent == 100
    assert reasons.items() <= {x.parameter: x.reason for x in report.skipped}.items()
    assert all(not x.weights for x in report.skipped)


def test_a_large_group_is_counted(tmp_path: Path) -> None:
    state = {i: {"exp_avg": torch.zeros(1), "step": torch.zeros(())} for i in range(600)}
    value = {"model": body(), "optimizer": {"state": state, "param_groups": []}}
    found = read_torch(save(value, tmp_path / "w.pt", True))
    (row,) = found.left_out
    assert (row.name, row.reason) == (
        "optimizer",
        "of the optimizer, not of the model (1200 tensors)",
    )


@pytest.mark.parametrize("key", ["model_ema", "ema", "state_dict_ema", "swa_model", "shadow"])
def test_an_average_of_the_model_is_a_second_copy(key: str, tmp_path: Path) -> None:
    state = body()
    value = {"model": state, key: {f"module.{k}": x * 2 for k, x in state.items()}}
    names, reasons = listed(value, tmp_path / "w.pt")
    assert names == list(state)
    assert set(reasons) == {f"{key}.module.{name}" for name in state}
    assert set(reasons.values()) == {f"a second copy of the model: pick it with the key {key}"}
    assert analyze(tmp_path / "w.pt").summary.judged_percent == 100
    picked = read_torch(tmp_path / "w.pt", key=key).tensors
    assert list(picked) == list(state)
    assert_same(picked["encoder.weight"].values(), state["encoder.weight"] * 2)
    names, reasons = listed({key: state, "other": {"weight": torch.randn(7, 7)}}, tmp_path / "w.pt")
    assert len(names) == 3 and not reasons  # no copy of another


def test_a_key_picks_one_state_dict(tmp_path: Path) -> None:
    value = {"model": {"a": body(), "b": dead_head()}, "dotted.key": dead_head()}
    path = save(value, tmp_path / "w.pt", True)
    assert list(read_torch(path, key="model.b").tensors) == ["weight", "bias"]
    assert list(read_torch(path, key="dotted.key").tensors) == ["weight", "bias"]
    assert list(read_torch(path, key="model").tensors) == [
        "a.encoder.weight",
        "a.encoder.bias",
        "b.weight",
        "b.bias",
    ]
    assert list(read_torch(path, key="model.b.weight").tensors) == ["weight"]
    report = analyze(path, key="model.b")
    assert [x.lost_directions for x in report.layers] == [20]
    assert report.settings["key"] == "model.b"
    assert analyze(value, key="model.b").layers[0].lost_directions == 20


def test_a_wrong_key_lists_the_keys(tmp_path: Path) -> None:
    path = save({"model": {"a": body()}, "head": dead_head(), "epoch": 1}, tmp_path / "w.pt", True)
    expected = "has no tensors under the key 'modle'; its keys: model, model.a, head"
    with pytest.raises(CheckpointError, match=expected):
        read_torch(path, key="modle")
    with pytest.raises(CheckpointError, match="has no tensors under the key 'epoch'"):
        read_torch(path, key="epoch")
    with pytest.raises(UsageError, match=expected):
        analyze({"model": {"a": body()}, "head": dead_head()}, key="modle")
    with pytest.raises(UsageError, match="key: only for a path or URL"):
        analyze(nn.Linear(2, 3), key="a")


def test_the_command_reads_one_state_dict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of one key is not resumed for another, though names and shapes are the same."""
    state = {"weight": torch.randn(30, 20)}
    path = save({"model": state, "ema": {"weight": torch.zeros(30, 20)}}, tmp_path / "w.pt", True)
    out = ["--output-dir", str(tmp_path / "out"), "--no-plots", "--quiet"]
    assert main([str(path), *out]) == 0
    healthy = load(tmp_path / "out")
    assert main([str(path), *out, "--key", "ema", "--resume", "--force"]) == 0
    dead = load(tmp_path / "out")
    assert healthy.settings["key"] is None and dead.settings["key"] == "ema"
    assert (healthy.layers[0].lost_directions, dead.layers[0].lost_directions) == (0, 20)
    capsys.readouterr()
    assert main([str(path), *out, "--force", "--key", "modle"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "w.pt: has no tensors under the key 'modle'; its keys: model, ema" in said


def test_other_formats_have_no_keys(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(body(), tmp_path / "w.safetensors")
    with pytest.raises(SourceError, match="one set of tensors, so no key picks .*; remove key"):
        read_weights(tmp_path / "w.safetensors", "w.safetensors", "model")


def test_an_optimizer_alone_is_no_model(tmp_path: Path) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(3, 2))], lr=0.1, momentum=0.9)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3, 2)
    optimizer.step()
    path = save(optimizer.state_dict(), tmp_path / "optimizer.pt", True)
    with pytest.raises(CheckpointError, match="no model tensors: all are of the optimizer"):
        read_torch(path)


def test_extra_states_are_listed(tmp_path: Path) -> None:
    state = {**body(), "encoder._extra_state": io.BytesIO(b"abc"), "x._extra_state": None}
    found = read_torch(save(state, tmp_path / "w.pt", True))
    assert list(found.tensors) == list(body())
    assert mapping_source(state).left_out == found.left_out
    assert [(x.name, x.reason) for x in found.left_out] == [
        ("encoder._extra_state", "a module's extra state (BytesIO), not a tensor")
    ]


@pytest.mark.filterwarnings("ignore")
def test_dynamic_quantization_is_undone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(100, 32), nn.Linear(32, 64), nn.Linear(64, 200))
    with torch.no_grad():
        model[2].weight[:, :30] = 0
    try:
        quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)
    except (AttributeError, RuntimeError):
        pytest.skip("this torch has no quantization")
    torch.save(quantized.state_dict(), tmp_path / "w.pt")
    reports = [analyze(tmp_path / "w.pt"), analyze(quantized.state_dict()), analyze(quantized)]
    for report in reports:
        assert [x.name for x in report.layers] == ["0", "1", "2"]
        assert [x.kind for x in report.layers] == ["embedding", "linear", "linear"]
        assert report.layer("2").lost_directions == 30
        for index in (1, 2):
            expected = quantized[index].weight().dequantize().double()
            np.testing.assert_allclose(
                report.layer(str(index)).singular_values,
                torch.linalg.svdvals(expected).numpy(),
                atol=1e-5,
            )


NAMES = st.text("abcmodel._0", min_size=1, max_size=6) | st.sampled_from(
    ["model", "ema", "optimizer", "state", "module.a", "_extra_state", "rng", "loss"]
)
LEAVES = st.sampled_from([(), (3,), (2, 3), (4, 4)])
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(NAMES | st.integers(0, 9), inner, min_size=1, max_size=4)
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=15,
)


def planted(tree: Any, number: list[float]) -> Any:
    """The tree with a tensor of one value each in place of its shapes."""
    if isinstance(tree, tuple):
        number[0] += 1
        return torch.full(tree, number[0])
    if isinstance(tree, list):
        return [planted(x, number) for x in tree]
    return {name: planted(x, number) for name, x in tree.items()}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=st.dictionaries(NAMES, TREES, min_size=1, max_size=4), zipped=st.booleans())
def test_every_tensor_is_accounted_for_once(
    tree: Any, zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    number = [0.0]
    value = planted(tree, number)
    path = save(value, tmp_path_factory.getbasetemp() / "tree.pt", zipped)
    try:
        found = read_torch(path)
    except CheckpointError as error:
        said = str(error)
        found = None
    if found is None:
        assert "no model tensors" in said
        return
    assert len(found.tensors) + len(found.left_out) == number[0]
    values = [float(x.values().flat[0]) for x in found.tensors.values()]
    assert len(set(values)) == len(values)
    assert not {x.name for x in found.left_out} & set(found.tensors)
    in_memory = mapping_source(value)
    assert list(in_memory.tensors) == list(found.tensors)
    assert in_memory.left_out == found.left_out


def test_a_shared_state_dict_is_read_under_both_names(tmp_path: Path) -> None:
    state = OrderedDict(body())
    names, _ = listed({"a": state, "b": state}, tmp_path / "w.pt")
    assert names == [f"{x}.{name}" for x in "ab" for name in state]
    assert len({x.storage for x in read_torch(tmp_path / "w.pt").tensors.values()}) == 2
