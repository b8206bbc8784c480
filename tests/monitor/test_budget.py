"""Which layers a check has time for: properties, over checks whose clock the test winds."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.linalg.machine import seconds
from allennlp_analyze.monitor.budget import Budget, Shape
from allennlp_analyze.monitor.measuring import in_time

pytestmark = pytest.mark.newest_python
SHAPES = st.dictionaries(
    st.text(max_size=3),
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    min_size=1,
    max_size=6,
)


@dataclass
class Training:
    """Layers that take what `factors` say, as multiples of what their shapes say."""

    shapes: dict[str, Shape]
    budget: Budget
    factors: dict[str, float] = field(default_factory=dict)
    now: float = 0.0

    def cost(self, name: str) -> float:
        return seconds(self.shapes[name]) * self.factors.get(name, 1.0)

    def check(self) -> list[str]:
        """The layers of one check, as they began."""
        begun: list[str] = []

        def work(name: str) -> None:
            begun.append(name)
            self.now += self.cost(name)

        done = in_time(work, self.shapes, self.budget, self.now, 1, lambda: self.now)
        assert set(done) == set(begun)
        return begun


def expected(training: Training) -> dict[str, float]:
    return {name: training.budget.cost(name, shape) for name, shape in training.shapes.items()}


@given(SHAPES, st.floats(1e-6, 2.0))
def test_no_check_takes_longer_than_it_may(shapes: dict[str, Shape], max_seconds: float) -> None:
    training = Training(shapes, Budget(max_seconds))
    for _ in range(3):
        before = training.now
        training.check()
        assert training.now - before <= max_seconds * (1 + 1e-9)


@given(SHAPES, st.floats(1e-3, 2.0), st.data())
def test_only_wrong_estimates_take_more_time(
    shapes: dict[str, Shape], max_seconds: float, data: st.DataObject
) -> None:
    factors = {name: data.draw(st.floats(0.1, 10.0)) for name in shapes}
    training = Training(shapes, Budget(max_seconds), factors)
    for _ in range(3):
        costs, before = expected(training), training.now
        begun = training.check()
        wrong = sum(max(0.0, training.cost(name) - costs[name]) for name in begun)
        # The first begins at any rate, although it took more than `max_seconds` last time.
        first = max(0.0, costs[begun[0]] - max_seconds) if begun else 0.0
        assert training.now - before <= (max_seconds + wrong + first) * (1 + 1e-9)


@given(SHAPES, st.floats(1e-6, 2.0))
def test_no_layer_that_fits_starves(shapes: dict[str, Shape], max_seconds: float) -> None:
    training = Training(shapes, Budget(max_seconds))
    fitting = {name for name, shape in shapes.items() if seconds(shape) <= max_seconds}
    assert set(training.budget.too_costly(shapes)) == set(shapes) - fitting
    for _ in range(2):
        seen = {name for _ in shapes for name in training.check()}
        assert seen == fitting


@given(SHAPES, st.floats(1e-6, 2.0))
def test_the_costliest_are_put_off_first(shapes: dict[str, Shape], max_seconds: float) -> None:
    training = Training(shapes, Budget(max_seconds))
    begun = training.check()
    put_off = training.budget.waiting
    assert put_off == set(training.budget.order(shapes)) - set(begun)
    if begun and put_off:
        assert max(map(training.cost, begun)) <= min(map(training.cost, put_off))
        # And they come first next time.
        assert training.check()[0] in put_off


def test_costs_are_remembered_as_measured() -> None:
    training = Training({"a": (400, 300), "b": (400, 200)}, Budget(1.0), {"a": 0.01})
    assert training.check() == ["b", "a"]
    assert training.check() == ["a", "b"]


def test_a_layer_is_given_up_when_it_took_too_long_twice_in_a_row() -> None:
    shapes = {"hiccup": (300, 300), "slow": (300, 300)}
    training = Training(shapes, Budget(10 * seconds((300, 300))), {"hiccup": 20.0, "slow": 20.0})
    for _ in range(2):
        training.check()
    assert not training.budget.too_costly(shapes)
    training.factors["hiccup"] = 1.0
    for _ in range(2):
        training.check()
    assert set(training.budget.too_costly(shapes)) == {"slow"}
    assert training.check() == ["hiccup"]


def test_all_cores_count_for_large_layers_alone() -> None:
    large, small = (8000, 8000), (300, 300)
    one, many = Budget(1e9), Budget(1e9, cores=16)
    assert many.cost("a", large) == one.cost("a", large) / 16
    assert many.cost("a", small) == one.cost("a", small)
