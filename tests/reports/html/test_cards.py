"""The page's cards speak of every judged layer, and never against the headline."""

import numpy as np
import pytest

from allennlp_analyze import Report, analyze
from allennlp_analyze.reports.html.cards import Card, cards_of
from allennlp_analyze.reports.html.model import html_page
from tests.support.html_elements import words
from tests.support.matrices import gaussian, low_rank

pytestmark = pytest.mark.newest_python


def report(square: np.ndarray, **more: np.ndarray) -> Report:
    """The report on a healthy layer with Q > 1.1 and the layer `square`."""
    tensors = {"body.weight": gaussian(0, 60, 24), "square.weight": square}
    return analyze({**tensors, **{f"{name}.weight": w for name, w in more.items()}})


def card(found: Report, title: str) -> Card:
    return {card.title: card for card in cards_of(found)}[title]


def test_a_collapsed_square_is_in_the_cards_and_the_study_beside_it() -> None:
    w = low_rank(5, 30, 30, 6)
    found = report(w)
    lost = card(found, "Directions lost")
    assert found.summary.verdict == "collapsed"
    assert lost.value == f"{100 * (30 - np.linalg.matrix_rank(w)) / 30:.3g}%"
    assert lost.where == "24 of 30 in square"
    assert lost.study.endswith(": 0%.")
    smallest = card(found, "Smallest singular value")
    assert smallest.where == "square" and "collapsed" in smallest.meaning
    edge = np.linalg.svd(gaussian(0, 60, 24), compute_uv=False)[-1]
    assert f"{edge:.3g}, in body" in smallest.study
    layers = card(found, "Layers")
    assert layers.value == "2" and layers.study.endswith(": 1.")
    assert "100% of the weights" in layers.meaning


def test_a_healthy_model_has_lost_nothing() -> None:
    found = report(gaussian(3, 30, 30))
    lost = card(found, "Directions lost")
    assert (lost.value, lost.where) == ("0%", "none in the 2 judged layers")
    smallest = card(found, "Smallest singular value")
    both = [
        np.linalg.svd(x, compute_uv=False)[-1] for x in (gaussian(0, 60, 24), gaussian(3, 30, 30))
    ]
    assert float(smallest.value) == pytest.approx(min(both), rel=0.005)
    assert "full rank" in smallest.meaning


def test_harmless_directions_are_mentioned_and_not_counted() -> None:
    head = gaussian(8, 2, 30)
    found = report(gaussian(3, 30, 30), head=head - head.mean(axis=0))
    assert found.summary.verdict == "full_rank"
    lost = card(found, "Directions lost")
    assert lost.value == "0%" and "but for harmless ones in 1 layer" in lost.where
    assert "softmax does not see it; harmless" in card(found, "Smallest singular value").meaning


def test_layers_that_have_no_part_in_the_verdict_are_not_in_the_cards() -> None:
    found = report(gaussian(3, 30, 30), token_embedder=low_rank(5, 80, 30, 4))
    assert found.layer("token_embedder").kind == "embedding"
    assert found.layer("token_embedder").verdict == "collapsed"
    assert card(found, "Directions lost").value == "0%"


def test_nothing_judged() -> None:
    found = analyze({"token_embedder.weight": gaussian(0, 80, 30)})
    assert card(found, "Smallest singular value").where == "no layer is judged"
    assert card(found, "Directions lost").value == "–"
    assert card(found, "Layers").meaning.startswith("No layer could be judged.")


def test_the_page_shows_them() -> None:
    text = words(html_page(report(low_rank(5, 30, 30, 6))))
    assert "24 of 30 in square" in text
    assert "as in the 2018 study" in text
    assert "every input direction passes" not in text
