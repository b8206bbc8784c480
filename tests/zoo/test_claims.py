"""The claims of 2018: counted from the published tables, and judged by the matrices at hand."""

import csv
from dataclasses import replace
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.metrics.power_law import fit_power_law
from allennlp_analyze.reference import published
from allennlp_analyze.zoo.claims import (
    MAX_D,
    NEAR_ZERO,
    CollapseRun,
    Tally,
    allennlp_claims,
    collapse_claim,
    imagenet_claims,
    linear_layers,
    zoo_claims,
)
from allennlp_analyze.zoo.results import CLAIM_VERDICTS, ZooLayer
from tests.support.references import PUBLISHED
from tests.support.zoo_models import as_models, zoo_layer, zoo_model

pytestmark = pytest.mark.newest_python


def rows(name: str) -> "list[dict[str, str]]":
    with (PUBLISHED / name).open(newline="") as file:
        return list(csv.DictReader(file))


def verdicts(claims: Any) -> "list[str]":
    return [claim.verdict for claim in claims]


def test_every_published_row_is_there_once() -> None:
    allennlp = published.allennlp_matrices()
    assert [(m.model, m.module_index, m.M, m.N) for m in allennlp] == [
        (row["model"], int(row["module_index"]), int(row["M"]), int(row["N"]))
        for row in rows("allennlp_2018.csv")
    ]
    imagenet = published.imagenet_matrices()
    assert [(m.model, m.module_index, m.alpha, m.D, m.best_fit) for m in imagenet] == [
        (row["model"], int(row["module_index"]), *map(float, (row["alpha"], row["D"])), best)
        for row in rows("imagenet_2018_alpha.csv")
        for best in [row["best_fit"]]
    ]
    known = [m for m in imagenet if m.min_singular_value is not None]
    assert [(m.model, m.M, m.N, m.min_singular_value) for m in known] == [
        (row["model"], int(row["M"]), int(row["N"]), float(row["min_singular_value"]))
        for row in rows("imagenet_2018_min_singular_value.csv")
    ]


def test_the_studys_own_counts() -> None:
    """Those that the published tables' own notes give."""
    allennlp = published.allennlp_matrices()
    fitted = [matrix for matrix in allennlp if matrix.alpha is not None]
    assert {m.M for m in allennlp if m.alpha is None} == {1}
    assert len(fitted) == 69
    assert len(published.as_counted(allennlp)) == 85
    assert len(published.distinct(fitted)) == 54
    imagenet = Tally(published.imagenet_matrices())
    assert (imagenet.tall.n, imagenet.tall.n_near, imagenet.n_alpha) == (24, 6, 32)
    near = {m.model for m in published.imagenet_matrices() if (m.min_singular_value or 1) < 0.01}
    assert near == {
        *("densenet161", "densenet169", "densenet201"),
        *("vgg11_bn", "vgg16_bn", "vgg19_bn"),
    }


def test_the_limits_lie_in_gaps_of_the_published_numbers() -> None:
    """A limit that moves by half changes no count of the study."""
    matrices = [*published.allennlp_matrices(), *published.imagenet_matrices()]
    tall = [m.min_singular_value for m in matrices if m.N > 1.1 * m.M]
    values = [value for value in tall if value is not None]
    assert not [value for value in values if NEAR_ZERO / 10 < value < 8 * NEAR_ZERO]
    distances = [m.D for m in matrices if m.D is not None and m.M >= 50]
    assert max(distances) < 0.8 * MAX_D


def test_the_published_models_bear_out_the_claims() -> None:
    """And what is counted from models says what is counted from the tables."""
    for claims in (
        allennlp_claims(as_models(published.allennlp_matrices())),
        imagenet_claims(as_models(published.imagenet_matrices())),
    ):
        assert verdicts(claims) == ["holds"] * 4
        for claim in claims[:3]:
            assert claim.published.split(";")[0] == claim.ours
    everything = [*published.allennlp_matrices(), *published.imagenet_matrices()]
    assert verdicts(zoo_claims(as_models(everything))) == [
        "holds",
        "holds",
        "does not hold",  # six of ImageNet's are near zero
        "holds",
    ]


def test_published_shares_in_words() -> None:
    fits, alphas, kept, _ = allennlp_claims([])
    in_range = [2 <= float(row["alpha"]) <= 4 for row in rows("allennlp_2018.csv")]
    ner = [2 <= float(row["alpha"]) <= 4 for row in rows("allennlp_2018.csv")[:16]]
    assert f"{sum(in_range)} of 69 (" in alphas.published
    assert f"{sum(in_range) + sum(ner)} of 85 (" in alphas.published
    assert "80%" in alphas.claim and "(79.7%)" in alphas.published
    large = [float(row["D"]) for row in rows("allennlp_2018.csv") if int(row["M"]) >= 50]
    assert max(large) < 0.1
    assert fits.published.startswith(f"{len(large)} of {len(large)} (100%)")
    assert kept.published.startswith("0 of 67 ")
    assert imagenet_claims([])[2].claim.startswith("6 of the 24 ImageNet FC matrices")


def test_without_matrices_nothing_is_judged() -> None:
    for claims in (zoo_claims([]), allennlp_claims([]), imagenet_claims([])):
        assert verdicts(claims) == ["not run"] * 4
        assert all(claim.note and claim.published for claim in claims)
    embeddings = [zoo_model([zoo_layer(kind="embedding"), zoo_layer(kind="convolution")])]
    assert zoo_claims(embeddings) == zoo_claims([])


def test_what_may_not_be_judged_keeps_its_numbers() -> None:
    models = as_models(published.imagenet_matrices())
    judged = imagenet_claims(models, "imagenet.csv")
    withheld = imagenet_claims(models, "imagenet.csv", "the weights are random")
    assert withheld == tuple(
        replace(claim, verdict="not run", note="the weights are random") for claim in judged
    )
    assert {claim.data for claim in judged} == {"imagenet.csv"}


def test_a_part_of_imagenet_is_not_judged_by_its_count() -> None:
    models = as_models(published.imagenet_matrices())
    claims = imagenet_claims([model for model in models if model.name != "alexnet"])
    assert claims[2].verdict == "not run"
    assert claims[2].note == "22 of the 24 matrices are here"
    near = zoo_layer(4096, 1000, 0.001)
    assert imagenet_claims([*models[1:], zoo_model([near, near])])[2].verdict == "does not hold"


def spectrum(kind: str, n: int, m: int, seed: int) -> np.ndarray:
    """Eigenvalues of W^T W, smallest first: of a Gaussian matrix, or one with Pareto columns."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((n, m))
    if kind == "heavy":
        w *= np.sqrt(1 + rng.pareto(1.5, m))
    return np.linalg.eigvalsh(w.T @ w)


@pytest.mark.parametrize(("kind", "verdict"), [("gaussian", "does not hold"), ("heavy", "holds")])
def test_the_limit_of_D_tells_power_laws_from_random_matrices(kind: str, verdict: str) -> None:
    shapes = [(1000, 512), (4096, 512), (1800, 300), (3680, 150), (250, 117), (500, 250)]
    layers = []
    for seed, (n, m) in enumerate(shapes * 2):
        fit = fit_power_law(spectrum(kind, n, m, seed))
        layers.append(zoo_layer(n, m, alpha=fit.alpha, d=fit.D))
    distances = np.array([layer.D for layer in layers])
    assert (distances > MAX_D).mean() >= 0.8 if kind == "gaussian" else (distances < MAX_D).all()
    assert zoo_claims([zoo_model(layers)])[0].verdict == verdict


sizes = st.integers(1, 99)
values = st.floats(0, 1) | st.sampled_from([0.0, NEAR_ZERO, np.nextafter(NEAR_ZERO, 0)])


@st.composite
def layer(draw: Any) -> ZooLayer:
    m, n = sorted(draw(st.tuples(sizes, sizes)))
    if draw(st.booleans()):
        n = m
    fit: tuple[Optional[float], Optional[float]] = (None, None)
    if draw(st.booleans()):
        fit = draw(st.floats(1, 9) | st.sampled_from([2.0, 4.0])), draw(st.floats(0, 0.2))
    kind = draw(st.sampled_from(["linear", "linear", "embedding"]))
    return zoo_layer(n, m, draw(values), *fit, kind=kind)


models = st.lists(st.lists(layer(), max_size=8).map(zoo_model), max_size=4)


@given(models)
def test_counts_are_those_of_arrays(some: Any) -> None:
    linear = [x for model in some for x in model.outcome.layers if x.kind == "linear"]
    counts = Tally(linear_layers(some))
    n, m, smallest = (
        np.array([getattr(x, key) for x in linear], float)
        for key in ("N", "M", "min_singular_value")
    )
    alpha = np.array([np.nan if x.alpha is None else x.alpha for x in linear])
    d = np.array([np.inf if x.D is None else x.D for x in linear])
    near = smallest < 0.01
    tall, square = (m > 1) & (n / m > 1.1), (m > 1) & (n == m)
    assert counts.n_large == (m >= 50).sum()
    assert counts.n_fitting == ((m >= 50) & (d <= 0.1)).sum()
    assert counts.n_alpha == np.isfinite(alpha).sum()
    assert counts.n_in_range == ((alpha >= 2) & (alpha <= 4)).sum()
    for extent, among in ((counts.tall, tall), (counts.square, square)):
        assert (extent.n, extent.n_near) == (among.sum(), (among & near).sum())
        for found, part, best in (
            (extent.largest_near, smallest[among & near], np.max),
            (extent.smallest_clear, smallest[among & ~near], np.min),
        ):
            assert found == (best(part) if part.size else None)


@given(models)
def test_verdicts_follow_their_rules(some: Any) -> None:
    counts = Tally(linear_layers(some))
    claims = zoo_claims(some)
    assert claims == zoo_claims(some[::-1])
    assert {claim.data for claim in claims} == {"zoo.csv"}
    for claim, whole, holds in zip(
        claims,
        (counts.n_large, counts.n_alpha, counts.tall.n, counts.square.n),
        (
            counts.n_fitting * 100 >= 95 * counts.n_large,
            counts.n_in_range * 4 >= 3 * counts.n_alpha,
            counts.tall.n_near == 0,
            counts.square.n_near == counts.square.n,
        ),
    ):
        assert claim.verdict in CLAIM_VERDICTS
        assert (claim.verdict == "not run") == (whole == 0)
        if whole:
            assert (claim.verdict == "holds") == holds
            assert f" of {whole} " in claim.ours


penalties = st.floats(0, 1, allow_nan=False)
runs = st.lists(st.builds(CollapseRun, penalties, st.booleans()), max_size=6)


@given(runs)
def test_collapse_is_judged_at_the_ends_of_the_sweep(some: "list[CollapseRun]") -> None:
    claim = collapse_claim(some, "collapse.json")
    l2 = [run.l2 for run in some]
    if len(set(l2)) < 2:
        assert claim.verdict == "not run" and "two penalties" in claim.note
        return
    healthy = all(not run.collapsed for run in some if run.l2 == min(l2))
    collapsed = all(run.collapsed for run in some if run.l2 == max(l2))
    assert claim.verdict == ("holds" if healthy and collapsed else "does not hold")
    assert claim.data == "collapse.json"
    assert collapse_claim(some, why_not="no such script").note == "no such script"
