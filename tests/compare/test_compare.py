"""Models compared: what changed is found, and what fails."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.compare.compare import compare_models, restricted
from allennlp_analyze.compare.results import ComparedModel, Difference, letter
from allennlp_analyze.errors import SourceError
from allennlp_analyze.linalg.tridiagonal import TWO_STAGES_FROM
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.results.verdict import LAYER_VERDICTS
from allennlp_analyze.settings import Settings
from tests.support.compared_models import (
    INVALID,
    compared,
    dead,
    failures,
    healthy,
    measured,
    model,
    sunk,
    weak,
)
from tests.support.report_factory import gaussian, heavy_tailed, make_layer, make_report

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize(
    "before, after, change, fails",
    [
        (healthy, healthy, "same", False),
        (healthy, weak, "worse", True),
        (healthy, lambda n: dead(n, 3), "collapsed", True),
        (weak, lambda n: dead(n, 3), "collapsed", True),
        (weak, healthy, "better", False),
        (lambda n: dead(n, 3), healthy, "recovered", False),
        (lambda n: dead(n, 3), weak, "recovered", False),
        (lambda n: dead(n, 3), lambda n: dead(n, 4), "worse", True),
        (lambda n: dead(n, 4), lambda n: dead(n, 3), "better", False),
        (lambda n: sunk(n, 2), lambda n: sunk(n, 12), "worse", True),
        (lambda n: dead(n, 4), lambda n: dead(n, 4), "same", False),
    ],
)
def test_what_became_of_a_layer(before: Any, after: Any, change: str, fails: bool) -> None:
    comparison = compared(model(before("a"), healthy("b")), model(after("a"), healthy("b")))
    assert comparison.pairs[0].change == change
    assert comparison.pairs[1].change == "same"
    assert failures(comparison) == (["a"] if fails else [])
    word = {"collapsed": "worse than", "worse": "worse than", "same": "has the spectra of"}
    assert word.get(change, "better than") in comparison.sentence


@pytest.mark.parametrize(
    "allowed, fails", [(0, True), (4.9, True), (5, False), (50, False), (100, False)]
)
def test_rank_loss_that_is_allowed(allowed: float, fails: bool) -> None:
    """One more of 20 directions lost is 5 percentage points."""
    comparison = compared(model(dead("a", 3)), model(dead("a", 4)), allowed)
    assert bool(comparison.failures) == fails
    for failure in comparison.failures:
        assert f"from 15% to 20%, but only {allowed:g} more points are allowed" in failure.reason


def test_an_allowance_is_met_whatever_the_rounding() -> None:
    """0.4 % less 0.3 % is more than 0.1 in float64."""
    layers = [
        replace(
            dead("a", 3),
            shape=(2000, 1000),
            singular_values=np.append(np.ones(rank), np.zeros(1000 - rank)),
            evidence=None,
        )
        for rank in (997, 996)
    ]
    (pair,) = compared(model(layers[0]), model(layers[1]), 0.1).pairs
    assert (pair.measure("lost_percent").difference or 0) > 0.1
    assert not compared(model(layers[0]), model(layers[1]), 0.1).failures
    assert compared(model(layers[0]), model(layers[1]), 0.099).failures


def test_no_allowance_excuses_a_collapse() -> None:
    comparison = compared(model(healthy("a")), model(dead("a", 1)), 100)
    (failure,) = comparison.failures
    assert failure.reason == "from full_rank to collapsed, rank loss from 0% to 5%"


def test_layers_of_every_kind_and_square_ones_count_and_single_rows_do_not() -> None:
    for kind in ("embedding", "recurrent", "convolution", "other"):
        before, after = (measured("a", m, kind) for m in (gaussian(40, 20), np.ones((40, 20))))
        assert failures(compared(model(before), model(after))) == ["a"]
    square = [measured("a", matrix) for matrix in (gaussian(20, 20), np.ones((20, 20)))]
    comparison = compared(model(square[0]), model(square[1]))
    assert comparison.pairs[0].change == "collapsed" and failures(comparison) == ["a"]
    row = [measured("a", matrix) for matrix in (gaussian(1, 20), np.zeros((1, 20)))]
    assert row[0].verdict == "not_assessed"
    comparison = compared(model(row[0]), model(row[1]))
    assert comparison.pairs[0].change == "worse" and not comparison.failures


def test_nan_counts_as_worse_unless_it_was_there_before() -> None:
    a, b = healthy("a"), healthy("b")
    comparison = compared(model(a, b, skipped=()), model(a, skipped=(INVALID,)))
    (failure,) = comparison.failures
    assert failure.layer == "b.weight" and "3 entries are not finite" in failure.reason
    (missing,) = comparison.missing
    assert missing.invalid and missing.reason == INVALID.reason
    assert comparison.sentence.startswith(
        "B is worse than A: 1 matrix contains NaN or infinity (b.w"
    )
    both = compared(model(a, skipped=(INVALID,)), model(a, skipped=(INVALID,)))
    assert not both.failures and not both.new_invalid
    # It takes nobody's place by order and shape, and a new tensor with NaN fails too.
    moved = compared(model(a, b, skipped=()), model(a, healthy("c"), skipped=(INVALID,)))
    assert [x.layer.name for x in moved.missing] == ["b"]
    assert [x.layer.name for x in moved.added] == ["c"]
    new = compared(model(a, skipped=()), model(a, skipped=(INVALID,)))
    assert failures(new) == ["b.weight"]
    assert not compared(model(a, skipped=(INVALID,)), model(a, b, skipped=())).failures


def test_a_layer_without_a_counterpart_fails_if_it_was_assessed() -> None:
    row = measured("s", gaussian(1, 9))
    a = model(healthy("a"), healthy("b", 1, 30, 11), row)
    comparison = compared(a, model(healthy("a"), healthy("c", 2, 8, 3)))
    assert [x.layer.name for x in comparison.missing] == ["b", "s"]
    assert [x.layer.name for x in comparison.added] == ["c"]
    (failure,) = comparison.failures
    assert (failure.layer, failure.reason) == ("b", "has no counterpart in B")
    assert comparison.sentence == (
        "B differs from A: no layer got worse or better (1 compared); 2 layers are missing;"
        " 1 layer is new."
    )
    large = Skipped("b.weight", (30, 11), "too large")
    (failure,) = compared(a, model(healthy("a"), row, skipped=(large,))).failures
    assert failure.reason == "has no counterpart in B: skipped there (too large)"


def test_another_size_leaves_only_what_does_not_depend_on_it() -> None:
    before, after = (measured("a", heavy_tailed(rows, 30)) for rows in (90, 120))
    wide = replace(before, shape=before.shape[::-1])
    (pair,) = compared(model(before), model(after)).pairs
    assert pair.matched_by == "name" and not pair.same_size
    comparable = {name for name, d in pair.differences.items() if d.difference is not None}
    assert comparable == {
        "lost_percent", "rank_loss_percent_rounding", "rank_loss_percent_numpy", "alpha", "D",
    }  # fmt: skip
    for name, difference in pair.differences.items():
        assert difference.baseline is not None and difference.candidate is not None, name
    assert pair.spectral_distance and pair.ks_distance
    (turned,) = compared(model(before), model(wide)).pairs
    assert turned.same_size and turned.spectral_distance == 0


def test_numbers_are_those_of_numpy() -> None:
    a, b = gaussian(50, 20, 1), 1.5 * gaussian(50, 20, 2)
    (pair,) = compared(model(measured("x", a)), model(measured("x", b))).pairs
    s, t = (np.linalg.svd(m, compute_uv=False) for m in (a, b))
    expected = {
        "min_singular_value": (s[-1], t[-1]),
        "max_singular_value": (s[0], t[0]),
        "frobenius_norm": (np.linalg.norm(a), np.linalg.norm(b)),
        "stable_rank": tuple(np.linalg.norm(m) ** 2 / np.linalg.norm(m, 2) ** 2 for m in (a, b)),
        "hard_rank_numpy": tuple(float(np.linalg.matrix_rank(m)) for m in (a, b)),
    }
    for name, (before, after) in expected.items():
        measure = pair.measure(name)
        assert measure.difference == pytest.approx(after - before, rel=1e-6, abs=1e-9)
        assert measure.ratio == pytest.approx(after / before, rel=1e-6)
    assert pair.spectral_distance == pytest.approx(
        np.linalg.norm(s - t) / np.linalg.norm(s), rel=1e-6
    )


def test_missing_numbers_have_no_difference() -> None:
    assert Difference(None, 1.0).difference is None and Difference(1.0, None).ratio is None
    assert Difference(0.0, 1.0).ratio is None and Difference(0.0, 1.0).difference == 1.0
    assert Difference(5e-324, 1e300).ratio is None
    assert Difference(1.0, 2.0, comparable=False).difference is None
    assert Difference(1.0, 2.0, comparable=False).ratio is None


def test_every_verdict_of_the_layers_can_be_compared() -> None:
    for before in LAYER_VERDICTS:
        for after in LAYER_VERDICTS:
            layers = [replace(healthy("a"), verdict=verdict) for verdict in (before, after)]
            (pair,) = compared(model(layers[0]), model(layers[1])).pairs
            if not (before.is_judgement and after.is_judgement):
                assert not pair.verdict_got_worse
                # What has collapsed has lost a direction at least.
                assert pair.change == "same" or "collapsed" in (before, after)


def test_the_largest_change_comes_first() -> None:
    a = [healthy(f"l{i}", i) for i in range(4)]
    b = [replace(x, singular_values=f * x.singular_values) for x, f in zip(a, (1, 1.1, 3, 0.5))]
    comparison = compared(model(*a), model(*b))
    assert [pair.baseline.name for pair in comparison.shown] == ["l2", "l3", "l1"]
    assert "moved most in l2, by 200%" in comparison.sentence


def test_what_changed_for_the_worse_comes_first_the_worst_first() -> None:
    a = [dead("gained", 3), healthy("still"), *(healthy(name) for name in "dim less more".split())]
    b = [healthy("gained"), healthy("still"), weak("dim"), dead("less", 2), dead("more", 5)]
    b[1] = replace(b[1], singular_values=1.1 * b[1].singular_values)
    same, same_there = healthy("same"), healthy("same")
    comparison = compared(model(same, *a), model(same_there, *b, skipped=(INVALID,)))
    names = [pair.baseline.name for pair in comparison.worst_first]
    assert names == ["more", "less", "dim", "gained", "still", "same"]
    assert [pair.baseline.name for pair in comparison.folded] == ["same"]
    assert [one.layer for one in comparison.worse] == ["b.weight", "more", "less", "dim"]
    assert "directions lost 0 of 20 -> 5 of 20" in comparison.worse[1].reason
    assert "full rank -> near collapse" in comparison.worse[3].reason
    assert failures(comparison) == ["b.weight", "more", "less", "dim"]


def test_a_changed_shape_is_not_comparable_unless_the_verdict_got_worse() -> None:
    a = [healthy("grown"), healthy("worse"), dead("lost", 5), dead("gained", 5)]
    b = [healthy("grown", 1, 50, 20), dead("worse", 2, rows=60), dead("lost", 6, rows=60)]
    b.append(dead("gained", 4, rows=60))
    comparison = compared(model(*a), model(*b))
    changes = {pair.baseline.name: pair.change for pair in comparison.pairs}
    assert changes == {
        "grown": "incomparable", "worse": "collapsed", "lost": "worse", "gained": "incomparable",
    }  # fmt: skip
    reasons = {pair.incomparable for pair in comparison.pairs}
    assert reasons == {f"the shape changed from 40 x 20 to {n} x 20" for n in (50, 60)}
    assert all(pair.moved is None for pair in comparison.pairs)
    assert failures(comparison) == ["worse", "lost"]
    assert "2 layers changed shape (not comparable)" in comparison.sentence
    only = compared(model(a[0]), model(b[0]))
    assert only.sentence == "B cannot be compared with A: 1 layer changed shape (not comparable)."
    assert not only.failures and len(only.pairs) == 1


def test_warnings_come_and_go() -> None:
    before, after = (
        replace(healthy("a"), warnings=warnings) for warnings in (("x", "y"), ("y", "z"))
    )
    (pair,) = compared(model(before), model(after)).pairs
    assert pair.new_warnings == ("z",) and pair.gone_warnings == ("x",)


def settings_of(**changes: Any) -> "dict[str, object]":
    return {**make_report().settings, **changes}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"settings": settings_of(kinds=["linear"])}, "kinds was not given for A and linear for"),
        ({"settings": settings_of(layers="x")}, "layers was not given for A and x for B"),
        ({"settings": settings_of(split_gates=True)}, "split_gates was off for A and on for B"),
        ({"settings": settings_of(max_dim=1)}, "max_dim was 16384 for A and 1 for B"),
        ({"settings": settings_of(eigensolver="mkl")}, None),
        ({"settings": settings_of(gamma=2.0, jobs=3)}, None),
        ({"tool": replace(make_report().tool, version="9.9")}, "version 0.1.0 of this tool, B wi"),
        ({"tool": replace(make_report().tool, numpy="9.9")}, None),
    ],
)
def test_settings_and_versions_that_matter_are_named(change: Any, words: Any) -> None:
    other = make_report(healthy("a"))
    source = replace(other.source, sha256="1" * 64)
    comparison = compared(model(healthy("a")), model(healthy("a"), source=source, **change))
    assert len(comparison.warnings) == (words is not None)
    for warning in comparison.warnings:
        assert words in warning


def test_other_eigensolvers_are_named_where_matrices_are_large() -> None:
    large = replace(healthy("a"), shape=(TWO_STAGES_FROM, TWO_STAGES_FROM))
    source = replace(make_report().source, sha256="1" * 64)
    settings = settings_of(eigensolver="mkl")
    (warning,) = compared(model(large), model(large, source=source, settings=settings)).warnings
    assert warning.startswith("the eigenvalues of A were computed by openblas, those of B by mkl:")


def test_sources_that_differ_are_named() -> None:
    one = replace(make_report().source, model_type="bidaf", sha256=None)
    other = replace(one, model_type="crf_tagger", walk="modules")
    a, b = (model(healthy("a"), source=source) for source in (one, other))
    first, second = compared(a, b).warnings
    assert first == "A is a model of type bidaf, B of type crf_tagger"
    assert second.startswith("the modules of B were built, those of A were not")


def test_kinds_and_layers_restrict_a_report_and_its_verdict() -> None:
    everything = model(healthy("a"), dead("b", 2), measured("c", gaussian(9, 4), "embedding"))
    chosen = restricted(everything, Settings(kinds=("linear",), layers="a"))
    assert [layer.name for layer in chosen.report.layers] == ["a"]
    assert chosen.report.summary.verdict == "full_rank"
    assert chosen.report.settings["kinds"] == ("linear",)
    assert restricted(everything, Settings()) is everything
    with pytest.raises(SourceError, match="select none of its 3 layers"):
        restricted(everything, Settings(layers="nothing"))
    # A report of some kinds, restricted to the same, differs in no setting from one of all.
    part = model(healthy("a"), settings=settings_of(kinds=["linear", "embedding"]))
    limited = [restricted(x, Settings(kinds=("linear",))) for x in (everything, part)]
    assert "--kinds" not in " ".join(compared(*limited).warnings)


def test_models_without_a_common_layer() -> None:
    comparison = compared(model(healthy("a")), model(healthy("b", 0, 7, 3)))
    assert comparison.sentence.startswith("B cannot be compared with A")
    assert comparison.pairs == () and failures(comparison) == ["a"]
    assert compared(model(), model()).sentence.startswith("B cannot be compared with A")


def test_several_candidates_are_each_compared_with_the_baseline() -> None:
    report = compare_models(
        model(healthy("a")), [model(healthy("a")), model(dead("a", 2)), model(weak("a"))]
    )
    assert [c.letter for c in report.candidates] == ["B", "C", "D"]
    assert [c.pairs[0].change for c in report.candidates] == ["same", "collapsed", "worse"]
    assert [letter(i) for i in (0, 25, 26)] == ["A", "Z", "#27"]


def test_hostile_names_are_compared_like_others() -> None:
    from tests.support.report_factory import odd_report

    report = odd_report()
    assert_no = compared(ComparedModel("a", report), ComparedModel("b", report))
    assert all(pair.spectral_distance == 0 for pair in assert_no.pairs)
    assert len(assert_no.pairs) == len(report.layers)


def test_fixture_layers_have_a_distance_like_the_change_made_to_them() -> None:
    """Mirsky on make_layer's numbers too: the report alone is enough."""
    before, noise = heavy_tailed(60, 30), 0.01 * gaussian(60, 30, 5)
    (pair,) = compared(model(make_layer(before, "a")), model(make_layer(before + noise, "a"))).pairs
    change = np.linalg.norm(noise) / np.linalg.norm(before)
    assert pair.spectral_distance is not None and 0 < pair.spectral_distance <= change
