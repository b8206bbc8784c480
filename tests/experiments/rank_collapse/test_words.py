"""The rank-collapse experiment in words: every number is its own, and none is hidden."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.rank_collapse import words
from tests.support.rank_collapse_cases import (
    EXPERIMENTS,
    analyzed,
    experiment,
    matrices,
    network,
    tikhonov,
)

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@pytest.fixture(scope="module", params=EXPERIMENTS)
def made(request: pytest.FixtureRequest) -> Any:
    return EXPERIMENTS[request.param]()


def value_of(label: str) -> float:
    """The number that a label of a figure stands for."""
    found = re.fullmatch(r"(?:(.+)\u00b7)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", label)
    if found is None:
        return float(label)
    return float(found.group(1) or 1) * 10.0 ** int(found.group(2).translate(PLAIN))


@given(st.floats(1e-12, 900))
@example(0.0)
@example(9.999e-4)
@example(0.0999)
def test_labels_are_the_numbers(l2: float) -> None:
    assert float(words.l2_text(l2)) == pytest.approx(l2, rel=6e-3)
    assert value_of(words.l2_label(l2)) == pytest.approx(l2, rel=6e-2)


@pytest.mark.parametrize(
    "l2, text, label",
    [
        (0.0, "0", "0"),
        (1e-4, "1e-4", "10⁻⁴"),
        (1e-2, "1e-2", "10⁻²"),
        (3.2e-5, "3.2e-5", "3.2·10⁻⁵"),
        (0.1, "0.1", "0.1"),
        (0.5, "0.5", "0.5"),
        (1.0, "1", "1"),
        (10.0, "10", "10"),
        (1e5, "1e5", "10⁵"),
    ],
)
def test_powers_of_ten(l2: float, text: str, label: str) -> None:
    assert (words.l2_text(l2), words.l2_label(l2)) == (text, label)


def test_the_first_sentence_names_what_collapsed_and_what_accuracy_it_keeps(made: Any) -> None:
    first = words.sentences(made)[0]
    trained = [n for n in made.networks if len(n.epochs) > 1]
    collapsed = [n for n in trained if n.collapsed]
    if not trained:
        assert "No network was trained" in first
    elif not collapsed:
        assert first.startswith("No hidden layer collapsed")
        assert all(words.l2_text(n.l2) in first for n in trained)
    else:
        assert first.startswith("Hidden layers collapsed at ")
        named = first.split(", by the verdict rule")[0]
        for n in trained:
            there = re.search(rf"(?<![\w.-]){re.escape(words.l2_text(n.l2))}(?![\w.])", named)
            assert bool(there) == n.collapsed
        for n in collapsed:
            assert f"{100 * n.final.test_accuracy:.1f}%" in first
        plain = [n for n in trained if n.l2 == 0 and not n.collapsed]
        assert ("without penalty" in first) == bool(plain)


def test_every_lost_direction_is_counted(made: Any) -> None:
    said = " ".join(words.sentences(made))
    counts = [
        f"{layer.lost_directions} of {layer.M} directions of {layer.name}"
        for n in made.networks
        for layer in n.final.layers
        if layer.verdict == "collapsed"
    ]
    for count in counts:
        assert count in said
    assert said.count(" directions of ") == len(counts)
    assert not re.search(r"None|nan|inf\b", said)


def test_what_disappoints_is_said() -> None:
    said = " ".join(words.sentences(EXPERIMENTS["collapse everywhere"]()))
    assert "every L2 of the sweep (0, 2e-2 and 0.3)" in said
    assert "A network without any penalty collapsed too" in said
    diverged = words.sentences(EXPERIMENTS["diverged"]())
    assert any("At L2 = 1 training diverged in epoch 3" in s for s in diverged)
    at_once = words.sentences(EXPERIMENTS["diverged at once"]())
    assert any("its state as initialized" in s for s in at_once)
    assert any("keeps full rank" in s for s in words.sentences(EXPERIMENTS["no collapse"]()))


@given(st.lists(st.sampled_from([0.1, 30.0]), min_size=1, max_size=3))
def test_the_worst_verdict(decays: "list[float]") -> None:
    made = experiment([network(0.1 * i, decay, epochs=1) for i, decay in enumerate(decays)])
    found = {layer.verdict for n in made.networks for layer in n.final.layers}
    assert words.worst_verdict(made.networks) == (
        "collapsed" if "collapsed" in found else "full_rank"
    )


def test_the_table_has_every_layer(made: Any) -> None:
    lines = list(words.result_lines(made))
    for name, value in made.about:
        assert f"{name}: {value}" in lines
    rows = [re.split(r"\s+", line.strip()) for line in lines]
    for n in made.networks:
        for layer in n.final.layers:
            word = layer.verdict.words.split()
            end = [*f"{layer.lost_directions} of {layer.M}".split(), *word]
            matching = [r for r in rows if layer.name in r and set(end) <= set(r)]
            assert any(f"{layer.min_singular_value:.3g}" in r or "0" in r for r in matching)
    table = lines[lines.index("") + 1 :]
    assert table[0].split()[:4] == ["L2", "decay", "accuracy", "layer"]
    assert all(line.isascii() for line in lines)


def test_tikhonovs_sentences_have_the_numbers_of_the_steps() -> None:
    shown = EXPERIMENTS["sweep"]().tikhonov
    said = " ".join(words.tikhonov_sentences(shown))
    assert f"{shown.lost} lost directions left out" in said
    kept = min(s.kept_distance for s in shown.steps if s.kept_distance is not None)
    whole = min(s.distance for s in shown.steps if s.distance is not None)
    largest = max(s.norm for s in shown.steps if s.norm is not None)
    for number in (kept, whole, largest):
        assert f"{number:.2g}" in said
    assert "cannot invert" in said


def test_a_layer_that_lost_nothing_and_one_that_lost_everything() -> None:
    weights = matrices(0.0, 0)["fc1"]
    healthy = tikhonov.demonstrate(weights, analyzed("fc1", weights), 0.0)
    said = " ".join(words.tikhonov_sentences(healthy))
    assert "has the condition number" in said and "Without loss, the ridge inverse" in said
    zeros = 0 * weights
    said = words.tikhonov_sentences(tikhonov.demonstrate(zeros, analyzed("fc1", zeros), 0.5))
    assert len(said) == 1 and "cannot invert" in said[0]
