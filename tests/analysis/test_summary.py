import dataclasses

import numpy as np
import pytest

from allennlp_analyze.analysis.measure import analyze
from allennlp_analyze.analysis.summary import other_findings, summarize
from allennlp_analyze.results.layer import LayerResult, Skipped
from allennlp_analyze.settings import Settings
from tests.analysis.test_measure import weight
from tests.support.matrices import gaussian, low_rank


def layer(matrix: np.ndarray, name: str, kind: str = "linear") -> LayerResult:
    (found,) = analyze([weight(matrix, name, kind)], Settings()).layers
    return found


HEALTHY = layer(gaussian(0, 90, 60), "healthy")
SQUARE = layer(gaussian(1, 60, 60), "square")
LOST = layer(low_rank(2, 90, 60, 40), "lost")
NEAR = layer(gaussian(3, 90, 60) * np.append(np.ones(59), 1e-2), "near")
EMBEDDING = layer(low_rank(4, 90, 60, 40), "table", kind="embedding")


@pytest.mark.parametrize(
    ("layers", "verdict", "sentence"),
    [
        ([HEALTHY, SQUARE], "full_rank", "Healthy: the linear layer with Q > 1.1 keeps full rank"),
        ([HEALTHY, HEALTHY], "full_rank", "Healthy: all 2 linear layers with Q > 1.1 keep full"),
        ([HEALTHY, EMBEDDING], "full_rank", "Healthy: the linear layer"),
        ([HEALTHY, NEAR], "near_collapse", "Near collapse: 1 of 2 linear layers"),
        ([HEALTHY, NEAR, LOST], "collapsed", "20 of 60 directions lost in lost"),
        ([SQUARE], "not_assessed", "none of the 1 linear layer has Q"),
        ([EMBEDDING], "not_assessed", "no linear layer"),
        ([], "not_assessed", "no linear layer"),
    ],
)
def test_worst_assessed_linear_layer_decides(
    layers: "list[LayerResult]", verdict: str, sentence: str
) -> None:
    found = summarize(layers, [])
    assert found.verdict == verdict
    assert sentence in found.sentence


def test_counts_add_up() -> None:
    layers = [HEALTHY, SQUARE, LOST, EMBEDDING]
    found = summarize(layers, [Skipped("b", (3,), "bias")])
    assert found.n_layers == sum(found.layers_by_kind.values()) == 4
    assert found.n_layers == sum(found.layers_by_verdict.values())
    assert (found.n_assessed, found.n_skipped) == (2, 1)
    alphas = [x.power_law.alpha for x in layers if x.power_law]
    assert found.mean_alpha == pytest.approx(np.mean(alphas))
    assert found.median_alpha == pytest.approx(np.median(alphas))
    assert found.max_rank_loss_percent == pytest.approx(100 / 3)
    assert found.min_singular_value == LOST.min_singular_value
    assert found.min_singular_value_layer == "lost"


def test_zero_layer_has_no_part_in_the_means() -> None:
    zero = layer(np.zeros((90, 60)), "zero")
    assert summarize([HEALTHY, zero], []).mean_alpha == summarize([HEALTHY], []).mean_alpha
    assert summarize([zero], []).mean_alpha is None


def test_other_layers_that_lost_rank_are_named_but_not_all() -> None:
    assert other_findings([HEALTHY, LOST]) == ()
    (line,) = other_findings([HEALTHY, EMBEDDING])
    assert "table (embedding, collapsed)" in line
    many = [dataclasses.replace(EMBEDDING, name=f"e{i}") for i in range(9)]
    (line,) = other_findings(many)
    assert line.endswith("and 6 more")
