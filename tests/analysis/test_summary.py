import dataclasses

import numpy as np
import pytest

from allennlp_analyze.analysis.measure import analyze
from allennlp_analyze.analysis.summary import other_findings, summarize
from allennlp_analyze.results.layer import LayerResult, Skipped
from allennlp_analyze.settings import Settings
from tests.analysis.test_measure import weight
from tests.support.matrices import gaussian, low_rank, nearly_lost


def layer(matrix: np.ndarray, name: str, kind: str = "linear") -> LayerResult:
    (found,) = analyze([weight(matrix, name, kind)], Settings()).layers
    return found


HEALTHY = layer(gaussian(0, 90, 60), "healthy")
SQUARE = layer(gaussian(1, 60, 60), "square")
LOST = layer(low_rank(2, 90, 60, 40), "lost")
NEAR = layer(nearly_lost(3, 90, 60), "near")
DEAD = layer(gaussian(5, 60, 90) * np.append(np.ones(57), np.zeros(3))[:, None], "units")
SCORES = layer(gaussian(6, 1, 60), "scores")
UNREAD = Skipped("packed", (90, 600), "int8: not floating point", weights=54_000)
EMBEDDING = layer(low_rank(4, 90, 60, 40), "table", kind="embedding")


@pytest.mark.parametrize(
    ("layers", "verdict", "sentence"),
    [
        ([HEALTHY, SQUARE], "full_rank", "Healthy: all 2 judged layers keep full rank; 100% of"),
        ([HEALTHY, EMBEDDING], "full_rank", "Healthy: the judged layer keeps full rank"),
        ([HEALTHY, NEAR], "near_collapse", "Near collapse: 1 of 2 judged layers is close to"),
        (
            [HEALTHY, DEAD],
            "dead_units",
            "1 of 2 judged layers has dead or copied units (units: 3 of",
        ),
        ([HEALTHY, NEAR, DEAD, LOST], "collapsed", "(lost: 20 of 60 directions, unexplained)"),
        ([SQUARE], "full_rank", "Healthy: the judged layer keeps full rank"),
        ([SCORES], "not_assessed", "none of the 1 layer can be judged"),
        ([EMBEDDING], "not_assessed", "the model has no layer that multiplies activations"),
        ([], "not_assessed", "the model has no layer that multiplies activations"),
    ],
)
def test_the_worst_judged_layer_decides(
    layers: "list[LayerResult]", verdict: str, sentence: str
) -> None:
    found = summarize(layers, [])
    assert found.verdict == verdict
    assert sentence in found.sentence


@pytest.mark.parametrize("kind", ["linear", "recurrent", "attention", "bilinear", "convolution"])
def test_every_kind_that_multiplies_activations_decides(kind: str) -> None:
    lost = dataclasses.replace(LOST, kind=kind)
    assert summarize([HEALTHY, lost], []).verdict == "collapsed"


def test_less_than_half_of_the_weights_is_never_healthy() -> None:
    found = summarize([HEALTHY], [UNREAD])
    assert found.verdict == "not_assessed"
    assert found.judged_percent == pytest.approx(100 * 5400 / 59400)
    assert "only 1 layer, which keeps full rank, could be judged; 9% of the" in found.sentence
    assert summarize([LOST], [UNREAD]).verdict == "collapsed"
    tenth = dataclasses.replace(UNREAD, weights=600)
    assert summarize([HEALTHY], [tenth]).verdict == "full_rank"


def test_counts_add_up() -> None:
    layers = [HEALTHY, SQUARE, LOST, EMBEDDING]
    found = summarize(layers, [Skipped("b", (3,), "bias")])
    assert found.n_layers == sum(found.layers_by_kind.values()) == 4
    assert found.n_layers == sum(found.layers_by_verdict.values())
    assert (found.n_judged, found.n_assessed, found.n_skipped) == (3, 2, 1)
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
