"""A layer whose smaller directions shrink at a steady rate is told of before they are lost."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.monitor.history import LayerHistory, Trouble, When
from allennlp_analyze.monitor.results import SPECTRUM, Reading
from allennlp_analyze.monitor.sinking import MIN_CHECKS, MOST_POINTS, SUNK_TO
from allennlp_analyze.results.verdict import Verdict

pytestmark = pytest.mark.newest_python
M = 40


def reading(values: np.ndarray, rms: float = 1.0) -> Reading:
    """A healthy layer with these singular values, descending."""
    places = np.linspace(0, len(values) - 1, min(len(values), SPECTRUM)).round().astype(int)
    return Reading(
        "a", "linear", len(values), Verdict.FULL_RANK, float(values[-1]), 0, 3.0, None, 0.0,
        rms=rms, spectrum=tuple(values[places]),
    )  # fmt: skip


def told(
    levels: Iterable[float], history: Optional[LayerHistory] = None, **choices: Any
) -> list[Optional[Trouble]]:
    """What is said of a layer with a few steady large values and others of these `levels`."""
    history = LayerHistory() if history is None else history
    many = np.linspace(1.2, 1.0, M - 5)
    return [
        history.seen(reading(np.array([*[5.0] * 5, *(level * many)])), When("epoch", at), **choices)
        for at, level in enumerate(levels)
    ]


@settings(max_examples=40)
@given(st.floats(0.5, 0.98), st.floats(1e-6, 1e6), st.integers(0, 5))
def test_a_steady_fall_is_told_once_when_a_tenth_is_left(
    factor: float, unit: float, healthy: int
) -> None:
    course = [unit] * healthy + [unit * factor**n for n in range(200)]
    found = told(course)
    at = next(n for n, level in enumerate(course) if level <= SUNK_TO * unit * (1 - 1e-9))
    (where,) = [n for n, one in enumerate(found) if one is not None]
    trouble = found[where]
    assert trouble is not None and trouble.fall is not None
    assert where in (at - 1, at)
    assert trouble.state is Verdict.NEAR_COLLAPSE and trouble.since == When("epoch", where)
    assert trouble.fall.factor == pytest.approx(factor)
    assert SUNK_TO * factor * 0.999 <= trouble.fall.share <= SUNK_TO * 1.001


@settings(max_examples=40)
@given(st.floats(0.06, 1.0), st.floats(0.02, 0.7))
def test_a_fall_that_levels_off_is_not_told(rest: float, rate: float) -> None:
    assert not any(told(rest + (1 - rest) * math.exp(-rate * n) for n in range(200)))


@given(st.lists(st.floats(0.11, 1.0), min_size=1, max_size=200))
def test_no_course_above_a_tenth_is_told(levels: list[float]) -> None:
    assert not any(told(levels))


def test_it_is_told_again_after_it_has_risen() -> None:
    fall = [0.7**n for n in range(12)]
    found = told([*fall, *[1.0] * 3, *fall])
    assert len([one for one in found if one is not None]) == 2


def test_a_fall_within_fewer_checks_is_not_yet_one() -> None:
    found = told(0.01**n for n in range(MIN_CHECKS + 1))
    assert [one is not None for one in found] == [False] * MIN_CHECKS + [True]


def test_where_a_normalization_follows_only_the_share_of_the_layer_counts() -> None:
    """Weight decay shrinks such a layer as a whole, which changes nothing that it computes."""
    values = np.linspace(1.2, 1.0, M)
    for shrinks, expected in ((True, 0), (False, 1)):
        history, found = LayerHistory(), []
        for n in range(40):
            rms = 0.9**n if shrinks else 1.0
            one = reading(0.9**n * values, rms)
            found.append(history.seen(one, When("epoch", n), is_normalized=True))
        falls = [one for one in found if one is not None and one.fall is not None]
        assert len(falls) == expected


def test_a_square_whose_smallest_value_passes_zero_is_not_told_of() -> None:
    rng = np.random.default_rng(0)
    for m in (12, 40):
        one, other = rng.standard_normal((2, m, m))
        history = LayerHistory()
        for n in range(200):
            angle = math.pi * n / 200
            matrix = math.cos(angle) * one + math.sin(angle) * other
            values = np.linalg.svd(matrix, compute_uv=False)
            assert history.seen(reading(values), When("epoch", n)) is None


def test_a_resumed_training_tells_the_same() -> None:
    course = [0.8**n for n in range(20)]
    whole = [one is not None for one in told(course)]
    for stop in range(1, len(course)):
        history = LayerHistory()
        told(course[:stop], history)
        state = json.loads(json.dumps(history.state()))
        rest = told(course[stop:], LayerHistory.of(state))
        assert [one is not None for one in rest] == whole[stop:]


def test_a_long_run_keeps_few_points_and_still_tells() -> None:
    history = LayerHistory()
    found = told((0.9995**n for n in range(6000)), history)
    assert len(history.level.points) <= MOST_POINTS
    (where,) = [n for n, one in enumerate(found) if one is not None]
    assert 0.9995**where == pytest.approx(SUNK_TO, rel=0.01)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_a_real_training_is_warned_of_before_its_layer_collapses(weight_decay: float) -> None:
    torch = pytest.importorskip("torch")
    from allennlp_analyze import RankMonitor
    from tests.support.torch_trainings import one_thread

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(48, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=weight_decay)
    monitor = RankMonitor(model, optimizer=optimizer, layers="^0$")
    said: list[tuple[Verdict, str]] = []
    for epoch in range(30):
        check = monitor.step(epoch)
        said += [(one.state, one.sentence) for one in check.collapses]
        with one_thread():
            for _ in range(10):
                x = torch.randn(32, 48)
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x), x[:, :4].argmax(1)).backward()
                optimizer.step()
    if not weight_decay:
        assert said == []
        return
    assert [state for state, _ in said] == [Verdict.NEAR_COLLAPSE, Verdict.COLLAPSED]
    # Little but the decay acts on most of it: 1 - (1 - 0.1 * 0.3) ** 10, 26% an epoch.
    percent = re.search(r" by (\d+)% each epoch, and go on sinking; weight decay 0.3 ", said[0][1])
    assert percent is not None and 24 <= int(percent[1]) <= 30
