"""The main job on every real archive, against what AllenNLP and the 2018 method say of it."""

import math

import pytest

from allennlp_analyze.analysis.measure import describe
from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.verdict import count_lost, lower_edge
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.opening import open_source
from tests.support.corpus import Corpus, corpus_names

# The study's alpha came from float32 eigenvalues: with fewer, their last digits pick another xmin.
ENOUGH_FOR_ALPHA = 10


def analyzed(corpus: Corpus, name: str) -> ModelReport:
    return analyze_archive(Reading(str(corpus.path(name))), Settings())


@pytest.mark.parametrize("name", corpus_names())
def test_archive_is_analyzed_as_the_oracle_says(corpus: Corpus, name: str) -> None:
    report = analyzed(corpus, name)
    oracle = corpus.oracle[name]
    assert report.source.sha256 == oracle["sha256"]
    parameters = {layer.parameter: layer for layer in report.layers}
    skipped = {entry.parameter for entry in report.skipped}
    assert set(parameters) | skipped == set(oracle["parameters"])
    assert not set(parameters) & skipped
    if "module_class" in oracle:
        expected = {p for p, kind in oracle["module_class"].items() if kind == "Linear"}
        assert {p for p, layer in parameters.items() if layer.kind == "linear"} == expected
    layers = {layer.name: layer for layer in report.layers if layer.kind == "linear"}
    for _, layer_name, m, n, *published in oracle.get("linear", ()):
        check_row(layers[layer_name], m, n, published)


def check_row(layer: LayerResult, m: int, n: int, published: "list[float]") -> None:
    assert (layer.M, layer.N) == (m, n)
    if not published:
        return
    alpha, distance, smallest = published
    assert layer.min_singular_value == pytest.approx(smallest, rel=1e-5)
    if m >= ENOUGH_FOR_ALPHA and not math.isnan(alpha):
        assert layer.power_law is not None
        assert layer.power_law.alpha == pytest.approx(alpha, rel=1e-5)
        assert layer.power_law.D == pytest.approx(distance, rel=1e-5)


def test_oracle_rows_are_really_compared(corpus: Corpus) -> None:
    rows = [row for entry in corpus.oracle.values() for row in entry.get("linear", ())]
    assert sum(len(row) == 7 for row in rows) > 50
    assert sum(len(row) == 7 and row[2] >= ENOUGH_FOR_ALPHA for row in rows) > 10


def one_of_each_release() -> "list[str]":
    first = {name.partition("/")[0]: name for name in reversed(corpus_names())}
    return sorted(first.values())


@pytest.mark.parametrize("name", one_of_each_release())
def test_lost_directions_follow_from_a_result_as_from_its_matrix(corpus: Corpus, name: str) -> None:
    with open_source(str(corpus.path(name)), quiet=True) as source:
        for matrix in find_matrices(source)[0]:
            found = spectrum(matrix.stored(), matrix.dtype, decode=matrix.decode)
            layer = describe(matrix, found, Settings())
            edge = lower_edge(found.entry_std, layer.N, layer.M)
            expected = count_lost(found.singular_values, found.tolerance.zero, edge)
            assert layer.lost_directions == expected
            assert (expected > 0) == (layer.verdict == "collapsed") or (
                layer.verdict == "not_assessed"
            )
