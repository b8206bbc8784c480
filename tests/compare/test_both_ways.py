"""A model against itself has no difference, and swapping two models negates every difference."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.compare.results import MEASURES, ComparedModel, ModelComparison
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.settings import Settings
from tests.support.commands import SMALL
from tests.support.compared_models import compared, dead, healthy, model, weak
from tests.support.corpus import Corpus, corpus_names, newest_of_each_model

pytestmark = pytest.mark.newest_python


@functools.cache
def analyzed(path: Path) -> ModelReport:
    return analyze_archive(Reading(str(path)), Settings())


CHOSEN = newest_of_each_model(corpus_names())


@pytest.mark.parametrize("name", CHOSEN)
def test_a_real_archive_against_itself_has_no_difference(corpus: Corpus, name: str) -> None:
    report = analyzed(corpus.path(name))
    comparison = compared(ComparedModel("a", report), ComparedModel("b", report))
    assert_no_difference(comparison, report)


def test_the_fixture_against_itself_has_no_difference() -> None:
    report = analyzed(SMALL)
    assert_no_difference(compared(ComparedModel("a", report), ComparedModel("b", report)), report)


def assert_no_difference(comparison: ModelComparison, report: ModelReport) -> None:
    assert [pair.baseline.name for pair in comparison.pairs] == [x.name for x in report.layers]
    for pair in comparison.pairs:
        assert pair.matched_by == "name" and pair.change == "same"
        assert pair.spectral_distance == 0 and pair.ks_distance == 0
        assert not pair.new_warnings and not pair.gone_warnings
        for difference in pair.differences.values():
            assert difference.difference in (0, None)
            assert difference.ratio in (1, None)
            assert (difference.difference is None) == (difference.baseline is None)
    assert not comparison.missing and not comparison.added and not comparison.failures
    assert not comparison.worse and not comparison.shown
    assert comparison.sentence == (
        f"B has the spectra of A: {len(report.layers)} layers, none changed."
        if len(report.layers) > 1
        else "B has the spectra of A: 1 layer, none changed."
    )
    assert comparison.warnings == ("A and B are the same file",)


OPPOSITE = {
    "collapsed": "recovered", "recovered": "collapsed",
    "worse": "better", "better": "worse", "same": "same", "incomparable": "incomparable",
}  # fmt: skip


def assert_mirrored(ab: ModelComparison, ba: ModelComparison) -> None:
    back = {(p.candidate.name, p.baseline.name): p for p in ba.pairs}
    assert len(ab.pairs) == len(back)
    for pair in ab.pairs:
        other = back[pair.baseline.name, pair.candidate.name]
        assert other.change == OPPOSITE[pair.change]
        assert other.ks_distance == pair.ks_distance
        for name in MEASURES:
            forth, reverse = pair.measure(name), other.measure(name)
            if forth.difference is None:
                assert reverse.difference is None
                continue
            assert reverse.difference == -forth.difference
            if forth.ratio and reverse.ratio:
                assert reverse.ratio == pytest.approx(1 / forth.ratio)
    assert [x.layer.name for x in ab.missing] == [x.layer.name for x in ba.added]
    assert [x.layer.name for x in ab.added] == [x.layer.name for x in ba.missing]
    assert ba.counts == {OPPOSITE[change]: count for change, count in ab.counts.items()}


# Hypothesis draws few different layers often.
layer_makers = st.sampled_from(
    [functools.cache(f) for f in (healthy, weak, lambda n: dead(n, 3), lambda n: dead(n, 7))]
)
two_models = st.lists(st.tuples(layer_makers, layer_makers), min_size=1, max_size=4)


@given(two_models)
def test_swapping_the_models_swaps_and_negates(pairs: "list[tuple[Any, Any]]") -> None:
    a = model(*(make(f"layer{i}") for i, (make, _) in enumerate(pairs)))
    b = model(*(make(f"layer{i}") for i, (_, make) in enumerate(pairs)))
    assert_mirrored(compared(a, b), compared(b, a))


@pytest.mark.parametrize(
    "one, other",
    [
        ("v0.4.0/bidaf.tar.gz", "v0.9.0/bidaf.tar.gz"),
        ("v0.6.0/biaffine_dependency_parser.tar.gz", "v0.8.0/biaffine_dependency_parser.tar.gz"),
        ("v0.5.0/constituency_parser.tar.gz", "v0.6.0/constituency_parser.tar.gz"),
        ("v0.8.0/bidaf.tar.gz", "v0.9.0/simple_tagger.tar.gz"),
    ],
)
def test_releases_compared_both_ways(corpus: Corpus, one: str, other: str) -> None:
    a, b = (ComparedModel(name, analyzed(corpus.path(name))) for name in (one, other))
    ab, ba = compared(a, b), compared(b, a)
    for pair in ab.pairs:
        expected = np.abs(pair.baseline.singular_values[0] - pair.candidate.singular_values[0])
        assert abs(pair.measure("max_singular_value").difference or 0) == (
            expected if pair.same_size else 0
        )
    by_name = [{p.baseline.name for p in c.pairs if p.matched_by == "name"} for c in (ab, ba)]
    assert by_name[0] == by_name[1]
    matched = {p.baseline.name for p in ab.pairs} | {x.layer.name for x in ab.missing}
    assert matched == {layer.name for layer in a.report.layers}
