"""Odd tensors as torch saves them: analyzed, or left out by what they are; the rest goes on."""

import warnings
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.settings import Settings
from tests.support.commands import run_module
from tests.support.matrices import gaussian

GOOD = torch.from_numpy(gaussian(0, 40, 20).astype(np.float32))
ZIPPED = pytest.mark.parametrize("zipped", [False, True], ids=["legacy", "zip"])


def analyzed(path: Path) -> ModelReport:
    return analyze_archive(Reading(str(path)), Settings())


def report_of(state: Any, directory: Path, zipped: bool = True) -> ModelReport:
    path = directory / "model.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    return analyzed(path)


def layer(report: ModelReport, name: str) -> LayerResult:
    return next(layer for layer in report.layers if layer.name == name)


def exact(matrix: Any) -> np.ndarray:
    wide = np.asarray(matrix.double().numpy() if isinstance(matrix, torch.Tensor) else matrix)
    scale = max(float(np.abs(wide).max()), 1e-300)
    return np.linalg.svd(wide / scale, compute_uv=False) * scale


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(GOOD, 0.1, 0, torch.qint8)


LEFT_OUT: "dict[str, tuple[Callable[[], torch.Tensor], str]]" = {
    "scalar": (lambda: torch.tensor(3.0), "scalar"),
    "vector": (lambda: torch.ones(7), "vector"),
    "zero rows": (lambda: torch.ones(0, 7), "a dimension is 0"),
    "zero columns": (lambda: torch.ones(7, 0), "a dimension is 0"),
    "int64": (lambda: torch.ones(4, 3, dtype=torch.int64), "int64: not floating point"),
    "int8": (lambda: torch.ones(4, 3, dtype=torch.int8), "int8: not floating point"),
    "uint8": (lambda: torch.ones(4, 3, dtype=torch.uint8), "uint8: not floating point"),
    "bool": (lambda: torch.ones(4, 3, dtype=torch.bool), "bool: not floating point"),
    "complex": (lambda: torch.ones(4, 3, dtype=torch.complex64), "complex64: not floating point"),
    "sparse": (lambda: GOOD.to_sparse(), "sparse"),
    "meta": (lambda: torch.empty(4, 3, device="meta"), "meta"),
    "expanded far": (lambda: torch.ones(1, 1).expand(2**14, 2**14), "expanded view"),
}


@ZIPPED
@pytest.mark.parametrize("name", LEFT_OUT)
def test_left_out_by_what_it_is_and_the_rest_goes_on(
    name: str, zipped: bool, tmp_path: Path
) -> None:
    make, reason = LEFT_OUT[name]
    report = report_of({"odd.weight": make(), "good.weight": GOOD}, tmp_path, zipped)
    assert [found.name for found in report.layers] == ["good"]
    (skipped,) = report.skipped
    assert skipped.parameter == "odd.weight"
    assert reason in skipped.reason
    assert skipped.shape == tuple(make().shape)
    unread = skipped.weights > GOOD.numel()  # of such a model nobody can say that it is healthy
    assert report.summary.verdict == ("not_assessed" if unread else "full_rank")


@ZIPPED
def test_a_quantized_tensor_is_read_with_its_scale(zipped: bool, tmp_path: Path) -> None:
    report = report_of({"odd.weight": quantized()}, tmp_path, zipped)
    largest = float(exact(quantized().dequantize())[0])
    assert layer(report, "odd").singular_values[0] == pytest.approx(largest, rel=1e-6)


def degenerate(rows: int, columns: int, value: float) -> torch.Tensor:
    return torch.full((rows, columns), value)


ANALYSED: "dict[str, Callable[[], torch.Tensor]]" = {
    "one row": lambda: GOOD[:1].clone(),
    "one column": lambda: GOOD[:, :1].clone(),
    "one entry": lambda: GOOD[:1, :1].clone(),
    "transposed": lambda: GOOD.t(),
    "a slice with steps": lambda: GOOD[::3, 1::2],
    "a slice of another": lambda: GOOD[5:9],
    "expanded": lambda: GOOD[:1].expand(12, 20),
    "float64": lambda: GOOD.double(),
    "float16": lambda: GOOD.half(),
    "bfloat16": lambda: GOOD.bfloat16(),
    "constant": lambda: degenerate(30, 20, 0.25),
    "denormal float32": lambda: GOOD * 1e-42,
    "denormal float64": lambda: GOOD.double() * 1e-315,
    "largest float32": lambda: GOOD / GOOD.abs().max() * torch.finfo(torch.float32).max,
    "large float64": lambda: GOOD.double() / GOOD.abs().max() * 1e306,
    "graded": lambda: GOOD.double() * 10.0 ** torch.arange(-150, 150, 15).double(),
}


@ZIPPED
@pytest.mark.parametrize("name", ANALYSED)
def test_analyzed_as_numpy_finds_in_float64(name: str, zipped: bool, tmp_path: Path) -> None:
    matrix = ANALYSED[name]()
    report = report_of({"odd.weight": matrix, "good.weight": GOOD}, tmp_path, zipped)
    assert report.skipped == ()
    found, expected = layer(report, "odd").singular_values, exact(matrix)
    with np.errstate(all="raise", under="ignore"):
        assert found.shape == expected.shape
        assert np.all(np.abs(found - expected) <= 1e-7 * expected[0])
    assert np.all(np.isfinite(found))
    assert layer(report, "good").verdict == "full_rank"


@pytest.mark.skipif(not hasattr(torch, "float8_e4m3fn"), reason="this torch has no float8")
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8(dtype: str, tmp_path: Path) -> None:
    matrix = GOOD.to(getattr(torch, dtype))
    report = report_of({"odd.weight": matrix, "good.weight": GOOD}, tmp_path)
    found, expected = layer(report, "odd").singular_values, exact(matrix.float())
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_float64_cannot_hold_is_left_out(tmp_path: Path) -> None:
    for factor in (1, 15):  # by SVD, and by the Gram matrix
        whole = GOOD.double().repeat(factor, factor)
        huge = whole / whole.abs().max() * torch.finfo(torch.float64).max
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            report = report_of({"odd.weight": huge, "good.weight": GOOD}, tmp_path)
        assert [found.name for found in report.layers] == ["good"]
        assert report.skipped[0].reason == "its singular values are beyond the range of float64"
        assert not report.skipped[0].invalid


def test_all_zero_has_rank_0_and_no_fit(tmp_path: Path) -> None:
    report = report_of({"zero.weight": torch.zeros(40, 20), "good.weight": GOOD}, tmp_path)
    zero = layer(report, "zero")
    assert set(vars(zero.hard_rank).values()) == {0}
    assert (zero.verdict, zero.power_law) == ("collapsed", None)
    assert zero.power_law_note == "all entries are zero"
    assert report.summary.verdict == "collapsed"


def test_a_constant_matrix_has_rank_1(tmp_path: Path) -> None:
    found = layer(report_of({"c.weight": degenerate(40, 20, 0.5)}, tmp_path), "c")
    assert found.hard_rank.numpy == 1
    assert found.verdict == "collapsed"
    assert found.max_singular_value == pytest.approx(0.5 * np.sqrt(800))


@pytest.mark.parametrize(
    "value, word", [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("columns", [3, 700])
def test_what_is_not_finite_is_counted_and_located(
    dtype: str, value: float, word: str, columns: int, tmp_path: Path
) -> None:
    """In small matrices, and in those that go through the Gram matrix."""
    matrix = torch.from_numpy(gaussian(1, 900, columns)).to(getattr(torch, dtype))
    matrix[7, 2] = matrix[800, 0] = value
    report = report_of({"odd.weight": matrix, "good.weight": GOOD}, tmp_path)
    (skipped,) = report.skipped
    assert skipped.invalid
    assert skipped.reason == f"2 entries are not finite; the first is {word} at row 7, column 2"
    assert [found.name for found in report.layers] == ["good"]
    assert (report.summary.verdict, report.summary.n_invalid) == ("invalid", 1)


@ZIPPED
def test_tied_tensors_are_analyzed_once(zipped: bool, tmp_path: Path) -> None:
    state = {"a.weight": GOOD, "b.weight": GOOD, "c.weight": GOOD.clone(), "d.weight": GOOD.t()}
    report = report_of(state, tmp_path, zipped)
    assert [found.name for found in report.layers] == ["a", "c", "d"]
    assert [(s.parameter, s.reason) for s in report.skipped] == [("b.weight", "tied to a.weight")]


WRAPPED: "dict[str, Callable[[dict[str, Any]], Any]]" = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state},
    "model_state": lambda state: {"model_state": state},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": torch.tensor(0.5)},
    "twice": lambda state: {"model": {"state_dict": state}},
    "DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "DataParallel in a checkpoint": lambda state: {
        "state_dict": {f"module.{name}": value for name, value in state.items()},
        "epoch": 1,
    },
}


@ZIPPED
@pytest.mark.parametrize("form", WRAPPED)
def test_the_model_is_found_in_what_wraps_it(form: str, zipped: bool, tmp_path: Path) -> None:
    state = {"good.weight": GOOD, "good.bias": torch.ones(40)}
    report = report_of(WRAPPED[form](state), tmp_path, zipped)
    assert [found.name for found in report.layers] == ["good"]
    beside = ["loss"] if form == "model_state_dict" else []
    assert [skipped.parameter for skipped in report.skipped] == ["good.bias", *beside]


@ZIPPED
@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_of_a_training_checkpoint_only_the_model_is_analyzed(
    key: str, zipped: bool, tmp_path: Path
) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Linear(30, 5))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 20)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    checkpoint = {
        key: model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": {k: v for k, v in scheduler.state_dict().items() if not callable(v)},
        "epoch": 7,
        "rng": torch.get_rng_state(),
    }
    report = report_of(checkpoint, tmp_path, zipped)
    assert [found.name for found in report.layers] == ["0", "1"]
    moments = ("step", "exp_avg", "exp_avg_sq")
    states = {f"optimizer.state.{i}.{name}" for i in range(4) for name in moments}
    assert {skipped.parameter for skipped in report.skipped} == {"0.bias", "1.bias", "rng", *states}
    assert report.summary.judged_percent == 100


def test_the_command_goes_on_and_says_what_it_left_out(tmp_path: Path) -> None:
    state = {f"{number}.weight": make() for number, (make, _) in enumerate(LEFT_OUT.values())}
    torch.save({**state, "good.weight": GOOD}, tmp_path / "model.pth")
    done = run_module("allennlp_analyze", "model.pth", "--no-plots", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Skipped {len(LEFT_OUT)} tensors" in done.stdout
    assert "only 1 layer, which keeps full rank, could be judged" in done.stdout


def test_nothing_to_analyze_is_one_line_that_lists_what_there_was(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3), "n": torch.ones(2, 2, dtype=torch.int64)}, tmp_path / "m.pth")
    done = run_module("allennlp_analyze", "m.pth", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: m.pth: no weight matrix to analyze; skipped: a (vector), n (int64: not floating"
        " point)\n"
    )


def test_a_tensor_with_a_gradient_and_a_parameter_are_like_any_other(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(GOOD.clone())
    (parameter * 2).sum().backward()
    report = report_of({"p.weight": parameter, "g.weight": GOOD.clone().requires_grad_()}, tmp_path)
    assert [found.name for found in report.layers] == ["p", "g"]
