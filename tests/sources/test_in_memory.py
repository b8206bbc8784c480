"""Modules and tensors in memory: read in place, left as they are, each by what it is."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import Report, analyze
from allennlp_analyze.errors import UsageError
from allennlp_analyze.sources.in_memory import mapping_source, module_source
from tests.support.torch_sources import layer_kinds
from tests.test_api import numbers

torch = pytest.importorskip("torch")
nn = torch.nn

LOW_PRECISION = ("float16", "bfloat16", "float64")


def weight_normed(layer: Any) -> Any:
    """In the form of torch's hooks, which newer versions of torch deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer)


def every_layer() -> Any:
    torch.manual_seed(2018)
    model = nn.ModuleDict(
        {
            "table": nn.Embedding(30, 12),
            "head": nn.Linear(12, 30, bias=False),
            "lstm": nn.LSTM(12, 9),
            "conv": nn.Conv1d(12, 20, 3),
            "normed": weight_normed(nn.Linear(12, 18)),
            "attention": nn.MultiheadAttention(12, 2),
            "norm": nn.BatchNorm1d(12),
        }
    )
    model["head"].weight = model["table"].weight
    return model


def test_a_module_gives_the_numbers_of_its_file(tmp_path: Path) -> None:
    model = every_layer()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    report = analyze(model)
    assert (
        numbers(report)
        == numbers(analyze(tmp_path / "model.pt"))
        == numbers(analyze(model.state_dict()))
    )
    assert report.source.archive == "ModuleDict"
    assert report.source.walk == "modules"


def test_kinds_classes_and_places_are_those_of_the_modules() -> None:
    model = every_layer()
    expected = layer_kinds(model)
    places = list(model.modules())
    for layer in analyze(model).layers:
        assert layer.kind_source == "module"
        assert layer.kind == expected[layer.parameter]
        owner = places[layer.module_index or 0]
        assert layer.module_class == type(owner).__name__


def test_tied_parameters_are_analyzed_once() -> None:
    report = analyze(every_layer())
    assert [x.parameter for x in report.skipped if x.reason == "tied to table.weight"] == [
        "head.weight"
    ]
    assert report.layer("table").warnings[0].startswith("tied: head.weight")


def test_weight_normalization_is_multiplied_in() -> None:
    model = every_layer()
    expected = np.linalg.svd(model["normed"].weight.detach().numpy(), compute_uv=False)
    found = analyze(model).layer("normed.weight_v").singular_values
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["weight_norm", "orthogonal"])
def test_parametrized_layers(name: str, tmp_path: Path) -> None:
    parametrize = getattr(nn.utils.parametrizations, name, None)
    if parametrize is None:
        pytest.skip(f"this torch has no parametrization {name}")
    model = nn.Sequential(parametrize(nn.Linear(9, 20)))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    (layer,) = analyze(model).layers
    assert layer.kind == "linear" and layer.module_class == "ParametrizedLinear"
    (of_file,) = analyze(tmp_path / "model.pt").layers
    assert of_file.name == layer.name
    expected = np.linalg.svd(model[0].weight.detach().numpy(), compute_uv=False)
    for found in (layer, of_file):
        np.testing.assert_allclose(found.singular_values, expected, rtol=1e-5)


def test_the_module_is_left_as_it_was() -> None:
    model = every_layer().train()
    sum(p.square().sum() for p in model.parameters()).backward()
    before = copy.deepcopy(model.state_dict())
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    where = {name: p.data_ptr() for name, p in model.named_parameters()}
    analyze(model)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad
        assert parameter.data_ptr() == where[name]
        assert torch.equal(parameter.grad, gradients[name])


def test_values_are_read_in_place() -> None:
    tensor, array = torch.randn(5, 4, requires_grad=True), np.ones((4, 6))
    found = mapping_source({"a": tensor, "b": array}).tensors
    assert found["a"].stored().__array_interface__["data"][0] == tensor.data_ptr()
    assert np.shares_memory(found["b"].stored(), array)
    source, _ = module_source(nn.Linear(3, 4))
    assert [x.shape for x in source.tensors.values()] == [(4, 3), (4,)]


def test_views_of_a_tensor() -> None:
    whole = torch.randn(12, 20)
    views = {"rows": whole[3:], "across": whole.t()[::2], "expanded": whole[:1].expand(6, 20)}
    for layer in analyze(views).layers:
        expected = np.linalg.svd(views[layer.name].double().numpy(), compute_uv=False)
        np.testing.assert_allclose(layer.singular_values, expected, atol=1e-7 * expected[0])
    same = analyze({"a": whole, "b": whole, "c": whole[:]})
    assert [x.name for x in same.layers] == ["a"]


@pytest.mark.parametrize("dtype", [*LOW_PRECISION, "float8_e4m3fn", "float8_e5m2"])
def test_every_floating_type(dtype: str, tmp_path: Path) -> None:
    kind = getattr(torch, dtype, None)
    if kind is None:
        pytest.skip(f"this torch has no {dtype}")
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(7)).to(kind)
    (layer,) = analyze({"a.weight": weight.t()}).layers
    expected = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(layer.singular_values, expected, atol=1e-7 * expected[0])
    assert layer.dtype == dtype
    torch.save({"a.weight": weight.t()}, tmp_path / "model.pt")
    assert numbers(analyze({"a.weight": weight.t()})) == numbers(analyze(tmp_path / "model.pt"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_types_that_numpy_has_from_ml_dtypes(dtype: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    weight = np.random.default_rng(7).standard_normal((40, 30)).astype(getattr(ml_dtypes, dtype))
    (layer,) = analyze({"a.weight": weight}).layers
    expected = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(layer.singular_values, expected, atol=1e-7 * expected[0])
    assert layer.dtype == dtype


def reasons(report: Report) -> dict[str, str]:
    return {x.parameter: x.reason for x in report.skipped}


def test_tensors_without_values_are_left_out_with_a_reason() -> None:
    plain = torch.randn(6, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch deprecate it
        quantized = torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)
    state = {
        "plain": plain,
        "meta": torch.empty(6, 5, device="meta"),
        "lazy": nn.parameter.UninitializedParameter(),
        "quantized": quantized,
        "sparse": plain.to_sparse(),
        "complex": torch.view_as_complex(torch.randn(6, 5, 2)),
        "integers": torch.ones(6, 5, dtype=torch.int32),
        "empty": torch.empty(0, 5),
        "long double": np.ones((6, 5), np.longdouble),
        "masked": np.ma.masked_less(np.arange(30.0).reshape(6, 5), 3),
        "words": np.array([["a", "b"]]),
        "things": np.array([[None, 1.0]]),
    }
    report = analyze(state)
    assert [x.name for x in report.layers] == ["plain", "quantized"]
    found = reasons(report)
    assert found["meta"] == "on the meta device, without values"
    assert found["lazy"] == "an uninitialized lazy parameter"
    assert found["sparse"] == "sparse_coo: not a dense tensor"
    assert found["complex"] == "complex64: not floating point"
    assert found["integers"] == "int32: not floating point"
    assert found["empty"] == "no values: a dimension is 0"
    assert found["long double"].endswith("is not a torch type")
    assert found["masked"] == "a masked array: fill the masked values"
    assert set(found) == set(state) - {"plain", "quantized"}
    assert report.summary.verdict == "full_rank" or report.summary.n_invalid == 0


def test_modules_whose_parameters_have_no_values() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = nn.LazyLinear(4)
    model = nn.Sequential(nn.Linear(5, 4, device="meta"), lazy, nn.Linear(5, 4))
    report = analyze(model)
    assert [x.name for x in report.layers] == ["2"]
    assert set(reasons(report)) == {"0.weight", "0.bias", "1.weight", "1.bias", "2.bias"}
    with pytest.raises(Exception, match="no weight matrix to analyze; skipped: 0.weight"):
        analyze(model[:1])


def test_tensors_in_tuples_are_not_lost() -> None:
    """As layers of torch.ao.quantization keep theirs."""

    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 4)

        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            weight = torch.quantize_per_tensor(torch.randn(6, 5), 0.1, 0, torch.qint8)
            destination[prefix + "packed"] = (weight, torch.randn(6))

    report = analyze(Packed())
    assert reasons(report) == {"packed.1": "vector", "linear.bias": "bias"}
    assert [x.name for x in report.layers] == ["packed.0", "linear"]


def test_a_tensor_that_does_not_give_its_values_is_left_out() -> None:
    class Sealed(torch.Tensor):
        def detach(self) -> Any:
            raise NotImplementedError("not\nhere")

    state = {"a": torch.randn(4, 3).as_subclass(Sealed), "b": torch.randn(4, 3)}
    report = analyze(state)
    assert [x.name for x in report.layers] == ["b"]
    assert reasons(report) == {"a": "failed to read its values (not)"}


def test_what_only_wraps_a_model_is_taken_off() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    expected = analyze(model)
    parallel = analyze(nn.DataParallel(nn.DataParallel(model)))
    assert parallel.layers == expected.layers
    assert parallel.source == expected.source


def test_a_scripted_module_is_judged_by_names_and_shapes() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(model)
    report = analyze(scripted)
    assert numbers(report) == numbers(analyze(model))
    assert report.source.walk == "weights"
    assert {x.kind for x in report.layers} == {"linear"}


def test_a_module_without_parameters_is_refused() -> None:
    with pytest.raises(UsageError, match="^the module ReLU has no parameters$"):
        analyze(nn.ReLU())
