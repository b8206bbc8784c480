"""When a layer is warned of: over all histories, and over draws of healthy layers."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.analysis.measure import describe
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.monitor.history import LayerHistory, Trouble, When
from allennlp_analyze.monitor.results import Reading
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.settings import Settings
from tests.support.matrices import gaussian, stored

pytestmark = pytest.mark.newest_python
M = 40
READINGS = st.lists(
    st.tuples(
        st.sampled_from([Verdict.FULL_RANK, Verdict.NEAR_COLLAPSE, Verdict.COLLAPSED]),
        st.integers(1, M),
    )
)


def reading(verdict: Verdict, lost: int = 0, m: int = M, stable_rank: Any = 3.0) -> Reading:
    return Reading("a", "linear", m, verdict, 0.1, lost, stable_rank, None, 0.0)


def followed(readings: list[Reading], history: "LayerHistory | None" = None) -> list[Any]:
    history = LayerHistory() if history is None else history
    return [history.seen(one, When("epoch", epoch)) for epoch, one in enumerate(readings)]


@given(READINGS)
def test_each_state_is_warned_of_when_it_begins_and_again_after_recovery(
    found: list[tuple[Verdict, int]],
) -> None:
    verdicts = [verdict for verdict, _ in found]
    warned = followed([reading(*one) for one in found])
    begins = 0  # of the time without a healthy reading
    for epoch, verdict in enumerate(verdicts):
        trouble = warned[epoch]
        if verdict is Verdict.FULL_RANK:
            assert trouble is None
            begins = epoch + 1
            continue
        before = [one.state for one in warned[begins:epoch] if one]
        if verdict is Verdict.COLLAPSED:
            assert (trouble is not None) == (Verdict.COLLAPSED not in before)
        if trouble is not None:
            assert trouble.state is verdict
            well = [n for n in range(epoch) if verdicts[n] is Verdict.FULL_RANK]
            assert trouble.since == (When("epoch", well[-1]) if well else None)
            assert trouble.at_first == (epoch == 0)


@given(READINGS)
def test_the_limit_of_near_collapse_may_be_crossed_often(found: list[tuple[Verdict, int]]) -> None:
    """Between two such warnings it was healthy three times in a row."""
    warned = followed([reading(*one) for one in found])
    near = [n for n, one in enumerate(warned) if one and one.state is Verdict.NEAR_COLLAPSE]
    for one, next_one in zip(near, near[1:]):
        runs = "".join("w" if v is Verdict.FULL_RANK else "-" for v, _ in found[one:next_one])
        assert "www" in runs
    if any(verdict is Verdict.NEAR_COLLAPSE for verdict, _ in found[:1]):
        assert near[:1] == [0]


@given(READINGS, st.integers(0, 10))
def test_a_history_goes_on_from_what_a_checkpoint_holds(
    found: list[tuple[Verdict, int]], kept: int
) -> None:
    readings = [reading(*one) for one in found]
    history = LayerHistory()
    first = followed(readings[:kept], history)
    history = LayerHistory.of(json.loads(json.dumps(history.state())))
    later = [
        history.seen(one, When("epoch", epoch)) for epoch, one in list(enumerate(readings))[kept:]
    ]
    assert first + later == followed(readings)


def test_the_smallest_that_a_layer_had_may_be_unknown() -> None:
    kept = {"since": ["epoch", 2.0], "warned": "well", "lost_at_first": 0}
    expected = Trouble(Verdict.COLLAPSED, When("epoch", 2.0), False, None)
    assert LayerHistory.of(kept).seen(reading(Verdict.COLLAPSED, 9), When("epoch", 3)) == expected


def test_what_is_zero_from_the_start_has_not_begun() -> None:
    zero = reading(Verdict.COLLAPSED, M, stable_rank=None)
    assert followed([zero, zero, reading(Verdict.FULL_RANK)]) == [None] * 3
    begun = followed([zero, reading(Verdict.FULL_RANK), zero])
    assert begun == [None, None, Trouble(Verdict.COLLAPSED, When("epoch", 1), False, 0.1)]


@pytest.mark.parametrize("start", ["zero", "tiny"])
def test_what_grows_from_zero_is_warned_of_only_when_it_loses_directions_that_it_had(
    start: str,
) -> None:
    """As the output of a residual branch does: x + W f(x), with W = 0 at the start."""
    rng = np.random.default_rng(0)
    first = np.zeros((60, M)) if start == "zero" else 1e-9 * rng.standard_normal((60, M))
    growing = [first]
    for _ in range(M + 5):
        growing.append(growing[-1] + 0.02 * np.outer(*(rng.standard_normal(n) for n in (60, M))))
    history = LayerHistory()
    found = followed([of(measured(w, "float32")) for w in growing], history)
    assert found == [None] * len(growing)
    history = LayerHistory.of(json.loads(json.dumps(history.state())))
    u, s, vt = np.linalg.svd(growing[-1], full_matrices=False)
    s[3:] = 0
    trouble = history.seen(of(measured((u * s) @ vt, "float32")), When("epoch", 90))
    assert trouble is not None and trouble.state is Verdict.COLLAPSED


def test_what_loses_directions_while_it_grows_is_warned_of() -> None:
    zero = reading(Verdict.COLLAPSED, M, stable_rank=None)
    found = followed([zero] + [reading(Verdict.COLLAPSED, lost) for lost in (39, 30, 20, 22, 23)])
    assert found == [None] * 5 + [Trouble(Verdict.COLLAPSED, None, False, None)]


@given(st.lists(st.integers(0, M), min_size=1))
def test_without_a_verdict_only_many_directions_count_and_only_those_lost_since(
    losses: list[int],
) -> None:
    warned = followed([reading(Verdict.NOT_ASSESSED, lost) for lost in losses])
    baseline = losses[0] if losses[0] <= 0.05 * M else None
    for epoch, (lost, trouble) in enumerate(zip(losses, warned)):
        if trouble is not None:
            assert trouble.state == Verdict.COLLAPSED
            assert lost - (losses[0] if epoch else 0) > max(1, 0.05 * M)
    at = [epoch for epoch, trouble in enumerate(warned) if trouble is not None]
    for one, next_one in zip(at, at[1:]):  # it recovered in between
        assert min(losses[one:next_one]) - losses[0] <= max(1, 0.05 * M)
    if baseline is not None and max(losses) - baseline > 0.05 * M:
        assert any(warned)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_one_direction_of_a_small_layer_is_not_many(m: int) -> None:
    assert followed([reading(Verdict.NOT_ASSESSED, 0, m), reading(Verdict.NOT_ASSESSED, 1, m)]) == [
        None,
        None,
    ]


def measured(matrix: np.ndarray, dtype: str) -> LayerResult:
    kept = stored(matrix, dtype)
    one = WeightMatrix("a", "a", None, "linear", "inferred", kept.shape, dtype, lambda: kept)
    return describe(one, spectrum(kept, dtype), Settings())


def of(layer: LayerResult) -> Reading:
    start = layer.evidence.start_ratio if layer.evidence else None
    return Reading(
        layer.name,
        layer.kind,
        layer.M,
        layer.verdict,
        layer.min_singular_value,
        layer.lost_directions,
        layer.stable_rank,
        None,
        0.0,
        start,
        spectrum=tuple(layer.singular_values),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rows, columns", [(200, 200), (130, 128), (30, 30), (60, 40), (3, 3)])
@pytest.mark.no_cover
def test_healthy_layers_are_never_warned_of(rows: int, columns: int, dtype: str) -> None:
    """As many draws as a training has epochs: each is as if training had turned the layer."""
    history = LayerHistory()
    for epoch in range(40):
        layer = measured(gaussian(epoch, rows, columns), dtype)
        one = reading(layer.verdict, layer.lost_directions, layer.M)
        assert history.seen(one, When("epoch", epoch)) is None


def test_what_bfloat16_hides_of_random_square_matrices_is_not_lost() -> None:
    """0.7% of the directions: the quarter circle's density at 0, times the rounding tolerance."""
    layers = [measured(gaussian(n, 300, 300), "bfloat16") for n in range(20)]
    hidden = sum(layer.M - layer.hard_rank.rounding for layer in layers)
    assert 0.004 < hidden / (20 * 300) < 0.01
    assert sum(layer.lost_directions for layer in layers) == 0
