"""Models to compare, made of layers that are healthy, weak or dead."""

from typing import Any

import numpy as np

from allennlp_analyze.analysis.measure import analyze
from allennlp_analyze.compare.compare import compare_models
from allennlp_analyze.compare.results import ComparedModel, ModelComparison
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.layer import LayerResult, Skipped
from allennlp_analyze.settings import Settings
from tests.support.matrices import nearly_lost, with_singular_values
from tests.support.report_factory import gaussian, make_report

INVALID = Skipped("b.weight", (40, 20), "3 entries are not finite", invalid=True)


def measured(name: str, matrix: np.ndarray, kind: str = "linear") -> LayerResult:
    """What the product itself finds in `matrix`."""
    weight = WeightMatrix(
        name=name,
        parameter=name + ".weight",
        part=None,
        kind=kind,
        kind_source="inferred",
        shape=(matrix.shape[0], matrix.shape[1]),
        dtype=str(matrix.dtype),
        load=lambda: matrix,
    )
    (layer,) = analyze([weight], Settings(jobs=1)).layers
    return layer


def healthy(name: str, seed: int = 0, rows: int = 40, columns: int = 20) -> LayerResult:
    return measured(name, gaussian(rows, columns, seed))


def sunk(name: str, lost: int) -> LayerResult:
    """A layer of which `lost` directions are far below noise, and far above rounding."""
    values = np.linspace(2, 1, 20)
    values[20 - lost :] = 1e-3
    return measured(name, with_singular_values(0, 40, 20, values))


def dead(name: str, lost: int, seed: int = 0, rows: int = 40, columns: int = 20) -> LayerResult:
    """A layer without `lost` of its directions."""
    values = np.linspace(2, 1, columns)
    values[columns - lost :] = 0
    return measured(name, with_singular_values(seed, rows, columns, values))


def weak(name: str, seed: int = 0) -> LayerResult:
    """Near collapse: the last singular value below 5 % of what a random matrix has."""
    layer = measured(name, nearly_lost(seed, 40, 20))
    assert layer.verdict == "near_collapse"
    return layer


def model(*layers: LayerResult, label: str = "x", **changes: Any) -> ComparedModel:
    return ComparedModel(label, make_report(*layers, **changes))


def compared(a: ComparedModel, b: ComparedModel, allowed: float = 0.0) -> ModelComparison:
    (comparison,) = compare_models(a, [b], allowed).candidates
    return comparison


def failures(comparison: ModelComparison) -> "list[str]":
    return [failure.layer for failure in comparison.failures]
