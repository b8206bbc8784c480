"""The first line of an open layer and the evidence of a finding: what report.json has, in words."""

import numpy as np
import pytest

from allennlp_analyze import analyze
from allennlp_analyze.reports.html.reasons import facts_of, sentence_of
from allennlp_analyze.results.layer import LayerResult
from tests.support.matrices import gaussian, low_rank, nearly_lost

pytestmark = pytest.mark.newest_python
SHAPE = (60, 24)


def one(matrix: np.ndarray, name: str = "body") -> LayerResult:
    return analyze({f"{name}.weight": matrix}).layers[0]


def test_full_rank_says_how_it_compares() -> None:
    said = sentence_of(one(gaussian(0, *SHAPE)))
    smallest = np.linalg.svd(gaussian(0, *SHAPE), compute_uv=False)[-1]
    assert said.startswith("Full rank: no direction is lost; the smallest singular value is")
    assert f" {smallest:.3g}, " in said
    assert said.endswith("of the median for random entries of the same size and variance.")


def test_lost_rank_says_how_much_and_the_limit() -> None:
    layer = one(low_rank(5, 60, 24, 6))
    assert layer.evidence is not None and layer.evidence.limit is not None
    said, facts = sentence_of(layer), dict(facts_of(layer))
    assert said.startswith(f"Collapsed: {layer.reason}. Singular values up to ")
    assert "18 of 24 directions" in said and f"{layer.evidence.limit:.3g} count as lost" in said
    assert facts["lost"] == "18 of 24 (75%)"
    assert facts["limit"] == f"{layer.evidence.limit:.3g}"
    assert facts["σ_min over the null"] == f"{layer.evidence.null_ratio:.3g}"
    assert facts["cause"] == ", ".join(x.cause.value for x in layer.evidence.findings)


def test_weights_that_have_decayed_are_not_compared_with_a_limit() -> None:
    """As a whole they look random: the ratio to the null would say the opposite."""
    layer = one(1e-12 * gaussian(0, *SHAPE))
    assert layer.verdict == "collapsed" and layer.evidence is not None
    said = sentence_of(layer)
    assert "all weights have decayed away" in said and "random" not in said
    assert f"{layer.evidence.start_ratio:.2g} of the smallest usual initialization" in said


def test_zero_near_dead_and_a_single_column() -> None:
    zero = sentence_of(one(np.zeros(SHAPE)))
    assert zero.endswith("all weights are zero. The smallest singular value is 0.")
    near = sentence_of(one(nearly_lost(0, 300, 60)))
    assert near.startswith("Near collapse: no direction is lost yet, but the smallest")
    dead = gaussian(0, 24, 60)
    dead[[3, 7]] = 0
    assert sentence_of(one(dead)).startswith("Dead units: 2 of 24 directions, dead units 3, 7.")
    assert sentence_of(one(gaussian(0, 40, 1))).endswith("has no direction to lose.")
    assert sentence_of(one(np.zeros((40, 1)))).endswith("all its weights are zero.")


def test_harmless_directions_are_lost_but_do_not_matter() -> None:
    head = gaussian(8, 3, 24)
    report = analyze({"body.weight": gaussian(0, *SHAPE), "head.weight": head - head.mean(axis=0)})
    layer = report.layer("head")
    assert layer.evidence is not None and layer.evidence.harmless_directions == 1
    assert sentence_of(layer).startswith("Full rank: no direction that matters is lost; 1 of 3")
    assert dict(facts_of(layer))["harmless"] == "1 of 3"
