"""Reports for the tests of the page: analyzed by the product, of matrices that a page must bear."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from allennlp_analyze.analysis.measure import analyze
from allennlp_analyze.analysis.summary import summarize
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.layer import ModelReport, Skipped
from allennlp_analyze.settings import Settings
from tests.support.matrices import nearly_lost
from tests.support.report_factory import ODD_NAMES, make_report

Named = tuple[str, str, np.ndarray]


def analyzed(matrices: Sequence[Named], skipped: Sequence[Skipped] = ()) -> ModelReport:
    """The report on named matrices of given kinds."""
    weights = [weight(*named) for named in matrices]
    found = analyze(weights, Settings())
    left_out = (*skipped, *found.skipped)
    return make_report(
        *found.layers, summary=summarize(found.layers, left_out), skipped=tuple(left_out)
    )


def weight(name: str, kind: str, values: np.ndarray) -> WeightMatrix:
    dtype = "float32" if values.max() < 1e30 else "float64"
    stored = values.astype(dtype)
    return WeightMatrix(
        name, f"{name}.weight", None, kind, "inferred", stored.shape, dtype, lambda: stored
    )


def edge_cases() -> ModelReport:
    """Every verdict, spectra that are hard to draw, and hostile names."""
    rng = np.random.default_rng(0)

    def random(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns))

    zeros = np.hstack([random(100, 30), np.zeros((100, 10))])
    matrices: list[Named] = [
        ("encoder.collapsed", "linear", random(300, 20) @ random(20, 60)),
        ("encoder.healthy", "linear", random(300, 60)),
        ("orthogonal of 17", "linear", np.linalg.qr(random(50, 17))[0]),
        ("one spike", "linear", random(300, 60) + 5),
        ("all zeros", "linear", np.zeros((20, 10))),
        ("some zeros", "embedding", zeros),
        ("tiny", "linear", 1e-30 * random(30, 12)),
        ("beyond drawing", "embedding", 1e200 * random(30, 12)),
        ("near", "linear", nearly_lost(0, 300, 60)),
        ("dead units", "linear", random(60, 300) * np.append(np.ones(57), np.zeros(3))[:, None]),
        ("square", "linear", random(40, 40)),
        ("one column", "convolution", random(40, 1)),
    ]
    matrices += [(name, "recurrent", random(24, 12)) for name in ODD_NAMES]
    invalid = Skipped("<b>bad</b>", (3, 3), "1 of 9 values is NaN", invalid=True)
    return analyzed(matrices, [invalid, Skipped("bias", (3,), "bias")])


def many_layers(count: int, rows: int = 600, columns: int = 300) -> ModelReport:
    """`count` layers with names as long as those of real models."""
    rng = np.random.default_rng(1)
    one = analyzed([("one", "linear", rng.standard_normal((rows, columns)))]).layers[0]
    names = [f"encoder.layers.{i}.self_attention.query_projection_layer" for i in range(count)]
    layers = tuple(replace(one, name=name, parameter=f"{name}.weight") for name in names)
    return make_report(*layers, summary=summarize(layers, ()), skipped=())
