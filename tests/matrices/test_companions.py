"""A weight that is stored in several tensors is the one that torch's layer multiplies by."""

import warnings
from typing import Any, Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze import analyze
from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.sources.in_memory import mapping_source, module_source
from tests.support.torch_sources import numpy_source, reasons_of

torch = pytest.importorskip("torch")
nn, utils = torch.nn, torch.nn.utils
pytestmark = pytest.mark.filterwarnings("ignore")
parametrizations = pytest.importorskip("torch.nn.utils.parametrizations")
parametrize = pytest.importorskip("torch.nn.utils.parametrize")


class Symmetric(nn.Module):
    """A parametrization of one's own, which leaves no trace in a file."""

    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).T


class Product(nn.Module):
    """A parametrization of one's own with two factors."""

    def forward(self, left: Any, right: Any) -> Any:
        return left @ right

    def right_inverse(self, weight: Any) -> Any:
        return weight[:, :2].clone(), weight[:2].clone()


def parametrized(layer: Any, how: Any, *more: Any) -> Any:
    for one in (how, *more):
        parametrize.register_parametrization(layer, "weight", one, unsafe=True)
    return layer


LAYERS: "dict[str, Callable[[], Any]]" = {
    "linear": lambda: nn.Linear(6, 4),
    "wide": lambda: nn.Linear(4, 6),
    "square": lambda: nn.Linear(5, 5),
    "conv": lambda: nn.Conv1d(5, 4, 3),
    "up": lambda: nn.ConvTranspose1d(5, 4, 3),
}


def trained(layer: Any) -> Any:
    """`layer` in float64 after two steps, in evaluation."""
    torch.manual_seed(0)
    layer = layer.double()
    convolution = hasattr(layer, "kernel_size")
    x = torch.randn(3, layer.in_channels, 9) if convolution else torch.randn(3, layer.in_features)
    for _ in range(2):
        layer.train()(x.double())
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    layer.eval()(x.double())
    return layer


def the_matrix(layer: Any, as_module: bool) -> WeightMatrix:
    if as_module:
        source, module = module_source(layer)
        found, _ = find_matrices(source, table_from_model(module))
    else:
        # A name such as a model would have for it tells a transposed convolution.
        name = "deconv" if "Transpose" in type(layer).__name__ else "layer"
        state = {f"{name}.{key}": value for key, value in layer.state_dict().items()}
        found, _ = find_matrices(mapping_source(state))
    [matrix] = found
    return matrix


def used(layer: Any) -> np.ndarray:
    weight = layer.weight.detach().numpy()
    if "Transpose" in str(type(layer)):
        weight = np.swapaxes(weight, 0, 1)
    return weight.reshape(len(weight), -1)


@pytest.mark.parametrize("as_module", [False, True])
@pytest.mark.parametrize("kind", ["linear", "conv", "up"])
@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize("old", [True, False])
def test_weight_normalization(as_module: bool, kind: str, dim: "int | None", old: bool) -> None:
    if kind == "linear" and dim == 2:
        pytest.skip("it has two dimensions")
    if not old and not hasattr(parametrizations, "weight_norm"):
        pytest.skip("this torch has no weight_norm by parametrization")
    made = utils.weight_norm if old else parametrizations.weight_norm
    layer = trained(made(LAYERS[kind](), dim=dim))
    matrix = the_matrix(layer, as_module)
    np.testing.assert_allclose(matrix.values(), used(layer), rtol=1e-12, atol=1e-14)
    assert matrix.kind == ("linear" if kind == "linear" else "convolution")
    assert matrix.notes == ()


@pytest.mark.parametrize("as_module", [False, True])
@pytest.mark.parametrize("kind", ["linear", "wide", "square", "conv", "up"])
@pytest.mark.parametrize("old", [True, False])
def test_spectral_normalization(as_module: bool, kind: str, old: bool) -> None:
    made = utils.spectral_norm if old else parametrizations.spectral_norm
    layer = trained(made(LAYERS[kind]()))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    matrix = the_matrix(layer, as_module)
    np.testing.assert_allclose(matrix.values(), used(layer), rtol=1e-12, atol=1e-14)
    assert matrix.notes == ()
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("dim", [0, 1])
def test_spectral_normalization_of_a_square_matrix_by_its_columns(dim: int) -> None:
    layer = trained(utils.spectral_norm(nn.Linear(5, 5), dim=dim))
    matrix = the_matrix(layer, as_module=False)
    np.testing.assert_allclose(matrix.values(), used(layer), rtol=1e-12)


@pytest.mark.parametrize("kind", ["linear", "wide", "square"])
@pytest.mark.parametrize("how", [None, "matrix_exp", "cayley", "householder"])
def test_orthogonal_matrices(kind: str, how: "str | None") -> None:
    layer = parametrizations.orthogonal(LAYERS[kind]().double(), orthogonal_map=how)
    with torch.no_grad():  # its diagonal and one side of it have no gradient
        x = layer.parametrizations.weight.original
        x += (0.1 * torch.randn_like(x)).tril(-1) if len(x) >= x.shape[1] else (
            0.1 * torch.randn_like(x)).triu(1)  # fmt: skip
    matrix = the_matrix(layer, as_module=True)
    np.testing.assert_allclose(matrix.values(), used(layer), rtol=1e-12, atol=1e-14)
    assert matrix.notes == ()
    of_file = the_matrix(layer, as_module=False)
    assert "file does not name the map" in of_file.notes[0]
    values = of_file.values()
    np.testing.assert_allclose(np.linalg.svd(values, compute_uv=False), 1, rtol=1e-12)
    if how in (None, "matrix_exp" if kind == "square" else "householder"):
        np.testing.assert_allclose(values, used(layer), rtol=1e-12, atol=1e-14)


def test_an_orthogonal_matrix_that_is_too_large_is_left_out_and_counted() -> None:
    name = "a.parametrizations.weight"
    tensors = {f"{name}.original": np.ones((2049, 1)), f"{name}.0.base": np.ones((2049, 2049))}
    matrices, skipped = find_matrices(numpy_source(tensors))
    assert matrices == []
    assert skipped[0].reason.startswith("parameter of an orthogonal matrix")
    assert skipped[0].weights == 2049


@pytest.mark.parametrize("as_module", [False, True])
def test_pruning(as_module: bool) -> None:
    from torch.nn.utils import prune

    layer = prune.custom_from_mask(LAYERS["linear"](), "weight", torch.rand(4, 6) > 0.4)
    layer = trained(layer)
    np.testing.assert_array_equal(the_matrix(layer, as_module).values(), used(layer))


def test_the_mask_of_a_sparsifier_is_not_in_its_file() -> None:
    sparsity = pytest.importorskip("torch.ao.pruning.sparsifier.utils")
    layer = trained(parametrized(nn.Linear(6, 4), sparsity.FakeSparsity(torch.rand(4, 6) > 0.4)))
    np.testing.assert_array_equal(the_matrix(layer, as_module=True).values(), used(layer))
    assert "the stored parameter" in the_matrix(layer, as_module=False).notes[0]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: parametrized(nn.Linear(5, 5), Symmetric()),
        lambda: parametrized(nn.Linear(5, 5), Product()),
        lambda: parametrized(parametrizations.spectral_norm(nn.Linear(5, 5)), Symmetric()),
    ],
    ids=["symmetric", "product", "two steps"],
)
def test_a_module_computes_the_weight_of_any_parametrization(layer: "Callable[[], Any]") -> None:
    made = trained(layer())
    before = {name: value.clone() for name, value in made.state_dict().items()}
    state = torch.random.get_rng_state()
    matrix = the_matrix(made.train(), as_module=True)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())
    np.testing.assert_allclose(matrix.values(), used(made.eval()), rtol=1e-12, atol=1e-14)
    assert matrix.kind == "linear" and matrix.notes == ()


@pytest.mark.parametrize("how, rows", [(Symmetric, 1), (Product, 2)])
def test_the_row_of_an_unknown_parametrization_says_so(how: Any, rows: int) -> None:
    layer = parametrized(nn.Linear(5, 5), how())
    state = {f"body.{name}": value for name, value in layer.state_dict().items()}
    report = analyze(state)
    assert len(report.layers) == rows
    for row in report.layers:
        assert any("the stored parameter, not the weight" in x for x in row.warnings)


def test_a_parametrization_that_fails_is_reported_as_stored() -> None:
    class Failing(nn.Module):
        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            if self.calls > 2:
                raise ValueError("no more")
            return x

    layer = parametrized(nn.Linear(5, 5), Failing())
    with pytest.raises(ValueError, match="no more"):
        [layer.weight for _ in range(5)]
    matrix = the_matrix(layer, as_module=True)
    assert "the stored parameter" in matrix.notes[0]


W, COLUMN = np.random.default_rng(0).standard_normal((5, 4)), np.ones((5, 1))


@pytest.mark.parametrize(
    "shape", [(5, 1), (5,), (1,), (), (1, 1)], ids=["column", "vector", "one", "scalar", "1 x 1"]
)
def test_magnitudes_of_any_shape(shape: "tuple[int, ...]") -> None:
    magnitudes = np.full(shape, 3.0)
    [matrix], skipped = find_matrices(numpy_source({"a.weight_g": magnitudes, "a.weight_v": W}))
    rows = np.prod(shape) == 5
    norms = np.linalg.norm(W, axis=1, keepdims=True) if rows else np.linalg.norm(W)
    np.testing.assert_allclose(matrix.values(), 3 * W / norms)
    assert skipped[0].reason == "weight normalization: multiplied into a.weight_v"


@pytest.mark.parametrize("shape", [(3,), (2, 1), (5, 1, 1)])
def test_magnitudes_that_do_not_fit_are_named(shape: "tuple[int, ...]") -> None:
    source = numpy_source({"a.weight_g": np.ones(shape), "a.weight_v": W})
    matrix = next(x for x in find_matrices(source)[0] if x.parameter == "a.weight_v")
    np.testing.assert_array_equal(matrix.values(), W)
    assert matrix.notes[0].endswith(f"a.weight_g of shape {shape} does not fit")


def test_a_mask_that_does_not_fit_is_named() -> None:
    source = numpy_source({"a.weight_orig": W, "a.weight_mask": np.eye(4)})
    [matrix], _ = find_matrices(source)
    assert matrix.notes[0].endswith("a.weight_mask of shape (4, 4) does not fit")


def test_what_is_stored_twice_counts_once() -> None:
    tensors = {"a.weight": W, "a.weight_orig": W, "a.weight_u": np.ones(5), "a.weight_v": W[0]}
    assert reasons_of(numpy_source(tensors))["a.weight"] == "computed from a.weight_orig"
    dropped = {"0.rnns.0.weight_hh_l0_raw": W, "0.rnns.0.module.weight_hh_l0": W}
    [matrix], [left_out] = find_matrices(numpy_source(dropped))
    assert matrix.kind == "recurrent"
    assert left_out.reason == "a copy of 0.rnns.0.weight_hh_l0_raw, with dropout"


def test_a_normalization_without_its_second_vector_is_named() -> None:
    source = numpy_source({"a.weight_orig": W, "a.weight_u": np.ones(5)})
    assert (
        "a.weight_v of its spectral normalization is missing"
        in find_matrices(source)[0][0].notes[0]
    )


def test_a_spectral_norm_from_before_torchs() -> None:
    u, s, v = np.linalg.svd(W, full_matrices=False)
    tensors = {"a.module.weight_bar": W, "a.module.weight_u": u[:, 0], "a.module.weight_v": v[0]}
    [matrix], _ = find_matrices(numpy_source(tensors))
    np.testing.assert_allclose(matrix.values(), W / s[0])
    assert matrix.kind == "linear"


_LEAVES = (
    *("weight", "weight_g", "weight_v", "weight_u", "weight_orig", "weight_mask", "weight_bar"),
    *("weight_hh_l0_raw", "module.weight_hh_l0", "module.weight", "original_module.weight"),
    *("modules_to_save.a.weight", "modules_to_save.weight", "modules_to_save."),
    *(f"parametrizations.weight.{x}" for x in ("original", "original0", "original1", "original2")),
    *(f"parametrizations.weight.{x}" for x in ("0.base", "0._u", "0._v", "1._u", "0.mask", "0.")),
)
_SIZES = st.lists(st.sampled_from([0, 1, 2, 3, 3, 3]), max_size=4).map(tuple)
_TYPES = st.sampled_from("float32 float64 float16 int64 bool complex64".split())
_FILLS = st.sampled_from([None, 0.0, np.nan, np.inf, 1e300])


@given(st.dictionaries(st.sampled_from(_LEAVES), st.tuples(_SIZES, _TYPES, _FILLS)), st.booleans())
def test_any_companions_are_assembled_or_named(tensors: "dict[str, Any]", at_root: bool) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for name, (shape, dtype, fill) in tensors.items():
        with np.errstate(all="ignore"):
            values = rng.standard_normal(shape) if fill is None else np.full(shape, fill)
            arrays[name if at_root else f"a.{name}"] = np.asarray(values).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, skipped = find_matrices(numpy_source(arrays))
        for matrix in found:
            try:
                values = matrix.values()
            except TensorError:
                continue
            assert values.shape == matrix.shape
    named = {x.parameter for x in found} | {x.parameter for x in skipped}
    assert named == set(arrays)
