"""The verdicts as values, their order, and the rule that decides between them."""

import copy
import csv
import io
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze import analyze
from allennlp_analyze.analysis.verdicts import decided
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.metrics.judging import judge
from allennlp_analyze.metrics.ranks import tolerances
from allennlp_analyze.results.evidence import Cause, Finding
from allennlp_analyze.results.verdict import (
    ADAPTER_VERDICTS,
    LAYER_VERDICTS,
    LOST_SHARE,
    MANY_SHARE,
    MIN_Q,
    NEAR_SHARE,
    Verdict,
    count_lost,
    worst,
    worst_first,
)
from tests.support.commands import ROOT
from tests.support.matrices import gaussian, low_rank, stored, with_singular_values

PUBLISHED = ROOT / "allennlp_analyze" / "data" / "published"


VALUES = [
    "full_rank",
    "untrained",
    "concentrated",
    "dead_units",
    "near_collapse",
    "collapsed",
    "hidden",
    "not_assessed",
    "invalid",
]
verdicts = st.sampled_from(Verdict)
judgements = st.sampled_from([verdict for verdict in Verdict if verdict.is_judgement])


def spectra(largest: float = 10.0) -> "st.SearchStrategy[np.ndarray]":
    """(m,) singular values, descending, up to `largest`."""
    values = st.lists(st.floats(0, largest), min_size=1, max_size=40)
    return values.map(lambda found: np.sort(np.array(found))[::-1])


def test_the_values_are_those_of_the_files() -> None:
    assert [verdict.value for verdict in Verdict] == VALUES
    assert set(VALUES) - set(LAYER_VERDICTS) == {"untrained", "concentrated", "invalid"}
    assert set(ADAPTER_VERDICTS) == {"full_rank", "untrained", "concentrated"}
    assert all(verdict.words and verdict.model_words for verdict in Verdict)


@pytest.mark.parametrize("value", VALUES)
def test_a_verdict_is_its_value_wherever_it_is_written(value: str) -> None:
    """The same with every Python, although they disagree on what `str` of such an enum is."""
    verdict = Verdict(value)
    assert verdict == value and hash(verdict) == hash(value)
    assert str(verdict) == f"{verdict}" == "%s" % verdict == "{}".format(verdict) == value  # noqa
    assert f"{verdict:>15}" == f"{value:>15}"
    assert type(str(verdict)) is type(f"{verdict}") is str
    assert json.dumps({verdict: [verdict]}) == json.dumps({value: [value]})
    line = io.StringIO()
    csv.writer(line).writerow([verdict])
    assert line.getvalue().strip() == value


@pytest.mark.parametrize("verdict", Verdict)
def test_a_copy_is_the_verdict_itself(verdict: Verdict) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(verdict, protocol)) is verdict
    assert copy.deepcopy([verdict])[0] is verdict


@given(judgements, judgements, judgements)
def test_severity_is_a_total_order_on_judgements(a: Verdict, b: Verdict, c: Verdict) -> None:
    assert [a.is_worse_than(b), a is b, b.is_worse_than(a)].count(True) == 1
    if a.is_worse_than(b) and b.is_worse_than(c):
        assert a.is_worse_than(c)


def test_from_healthy_to_worst() -> None:
    best_first = [value for value in VALUES if value not in ("hidden", "not_assessed")]
    assert sorted((x for x in Verdict if x.is_judgement), key=lambda x: x.severity) == best_first


@pytest.mark.parametrize("unknown", [Verdict.NOT_ASSESSED, Verdict.HIDDEN])
@given(other=verdicts)
def test_what_is_no_judgement_is_compared_with_nothing(unknown: Verdict, other: Verdict) -> None:
    assert not (unknown.is_worse_than(other) or other.is_worse_than(unknown))


@given(st.lists(verdicts))
def test_the_worst_is_first_in_the_order_of_tables(found: list[Verdict]) -> None:
    ordered = worst_first(found)
    assert sorted(ordered) == sorted(found)
    assert worst(found) is (ordered[0] if found else Verdict.NOT_ASSESSED)
    for before, after in zip(ordered, ordered[1:]):
        assert not after.is_worse_than(before)
        assert before.is_judgement or not after.is_judgement


@given(spectra(), st.data(), st.floats(0, 10), st.floats(0, 100))
def test_what_shrinks_loses_no_fewer_directions(
    values: np.ndarray, data: st.DataObject, rounding: float, edge: float
) -> None:
    factors = data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    shrunk = np.sort(values * np.array(factors))[::-1]
    lost = count_lost(values, rounding, edge)
    assert 0 <= lost <= count_lost(shrunk, rounding, edge) <= len(values)
    assert count_lost(values, 2 * rounding, edge) >= lost
    assert count_lost(values, rounding, 2 * edge) >= lost


@given(spectra(), st.floats(0, 10), st.floats(0, 100), st.integers(-60, 60))
def test_scale_free_counts(values: np.ndarray, rounding: float, edge: float, by: int) -> None:
    values = np.where(values < 1e-200, 0.0, values)  # a power of two is exact unless it underflows
    rounding, edge = (0.0 if limit < 1e-200 else limit for limit in (rounding, edge))
    scaled = (float(np.ldexp(limit, by)) for limit in (rounding, edge))
    assert count_lost(np.ldexp(values, by), *scaled) == count_lost(values, rounding, edge)


def test_the_limits_are_in_order() -> None:
    assert 0 < LOST_SHARE < NEAR_SHARE < MANY_SHARE < 1 < MIN_Q


def verdict(matrix: np.ndarray, dtype: str = "float32") -> Verdict:
    """The verdict without a look for causes: every lost direction is unexplained."""
    found = spectrum(matrix, dtype)
    n, m = max(matrix.shape), min(matrix.shape)
    if m == 1:
        return Verdict.NOT_ASSESSED
    return rule(found.singular_values, found.entry_std, n, m, found.tolerance.zero)


def rule(values: np.ndarray, std: float, n: int, m: int, zero: float) -> Verdict:
    judged = judge(values, std, n, m, zero)
    lost = (Finding(Cause.UNEXPLAINED, judged.lost, False),) if judged.lost else ()
    return decided(judged, lost, m)[0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rows, columns", [(256, 128), (20, 17), (1200, 1000), (50, 900), (3, 2)])
def test_noise_is_healthy(rows: int, columns: int, dtype: str) -> None:
    assert verdict(stored(gaussian(1, rows, columns), dtype), dtype) == "full_rank"


def test_false_alarms_on_noise_are_rare_even_for_small_matrices() -> None:
    found = [verdict(gaussian(seed, 12, 10)) for seed in range(2000)]
    assert found.count("full_rank") >= 1995
    assert "collapsed" not in found


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rank", [1, 10, 127])
def test_lost_directions_are_a_collapse(rank: int, dtype: str) -> None:
    assert verdict(stored(low_rank(0, 256, 128, rank), dtype), dtype) == "collapsed"


def test_zero_matrix_has_collapsed() -> None:
    assert verdict(np.zeros((30, 20), dtype=np.float32)) == "collapsed"


def test_shrinking_directions_are_lost_at_last() -> None:
    sigma = np.linalg.svd(gaussian(0, 256, 128), compute_uv=False)
    found = []
    for factor in (1.0, 0.2, 1e-2, 1e-5):
        shrunk = np.append(sigma[:-5], sigma[-5:] * factor)
        found.append(verdict(with_singular_values(0, 256, 128, shrunk)))
    assert found == ["full_rank", "full_rank", "collapsed", "collapsed"]


@pytest.mark.parametrize("sunk", [0, 1, 12, 13])
def test_what_sinks_has_collapsed_before_any_direction_is_zero(sunk: int) -> None:
    """Some of 128 directions at 3% of the edge of noise; none is near zero."""
    sigma = np.linalg.svd(gaussian(0, 256, 128), compute_uv=False)
    sigma[len(sigma) - sunk :] = 0.03 * (np.sqrt(256) - np.sqrt(128))
    matrix = with_singular_values(0, 256, 128, sigma)
    assert verdict(matrix) == ("collapsed" if sunk else "full_rank")
    (layer,) = analyze({"a.weight": matrix.astype(np.float32)}).layers
    assert layer.lost_directions == sunk


@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(1.2, 10), st.floats(0, 4))
@settings(max_examples=30, deadline=None)
def test_a_layer_has_collapsed_where_it_counts_lost_directions(
    seed: int, m: int, q: float, power: float
) -> None:
    """Singular values spread over up to `power` orders of magnitude."""
    rng = np.random.default_rng(seed)
    sigma = np.sort(10.0 ** (-power * rng.random(m)))[::-1]
    matrix = with_singular_values(seed, int(np.ceil(q * m)) + 1, m, sigma)
    (layer,) = analyze({"a.weight": matrix}).layers
    assert (layer.lost_directions > 0) == layer.verdict.is_worse_than(Verdict.NEAR_COLLAPSE) or (
        layer.verdict == "dead_units"
    )


@pytest.mark.parametrize(
    ("kept", "left"), [(1, 3e-4), (1, 0.0), (3, 6e-5), (4, 3e-4), (4, 0.0), (7, 6e-5), (7, 0.0)]
)
def test_what_is_lost_is_counted_where_hardly_anything_is_left(kept: int, left: float) -> None:
    """With fewer than five positive eigenvalues there is no Marchenko-Pastur law to take the edge
    from."""
    sigma = np.append(np.ones(kept), np.full(384 - kept, left))
    matrix = with_singular_values(kept, 1024, 384, sigma).astype(np.float32)
    (layer,) = analyze({"a.weight": matrix}).layers
    assert (layer.verdict, layer.lost_directions) == ("collapsed", 384 - kept)


@pytest.mark.parametrize("rows, columns", [(1, 50), (50, 1)])
def test_single_rows_and_columns_are_not_assessed(rows: int, columns: int) -> None:
    assert verdict(gaussian(0, rows, columns)) == "not_assessed"


@pytest.mark.parametrize("rows, columns", [(100, 100), (110, 100), (2, 2)])
def test_squares_are_judged(rows: int, columns: int) -> None:
    assert verdict(gaussian(0, rows, columns)) == "full_rank"
    assert verdict(low_rank(0, rows, columns, columns // 2)) == "collapsed"


def test_large_mean_is_no_collapse() -> None:
    assert verdict(gaussian(0, 400, 200) + 20) == "full_rank"


@given(
    st.integers(-40, 40),
    st.integers(0, 1000),
    st.sampled_from([np.ones(20), np.append(np.ones(19), 0.003), np.append(np.ones(19), 1e-9)]),
)
@settings(max_examples=60, deadline=None)
def test_scale_does_not_matter(exponent: int, seed: int, values: np.ndarray) -> None:
    matrix = with_singular_values(seed, 60, 20, values)
    assert verdict(np.ldexp(matrix, exponent), "float64") == verdict(matrix, "float64")


def test_published_minima_are_told_apart() -> None:
    """Six of the 24 ImageNet matrices with Q > 1.1 were near zero; the others are healthy.

    Only the minimum was published: a random matrix of the same size, with entries of the scale that
    torchvision's classifiers have, stands for the other singular values.
    """
    path = PUBLISHED / "imagenet_2018_min_singular_value.csv"
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == 24
    bad = set()
    for row in rows:
        n, m = int(row["N"]), int(row["M"])
        smallest = float(row["min_singular_value"])
        std = 1 / np.sqrt(n)
        rest = std * np.linspace(np.sqrt(n) + np.sqrt(m), np.sqrt(n) - np.sqrt(m), m - 1)
        sigma = np.append(np.maximum(rest, smallest), smallest)
        tolerance = tolerances(sigma, (n, m), "float32", 1e-3)
        if rule(sigma, std, n, m, tolerance.zero) != "full_rank":
            bad.add(row["model"])
    assert bad == {"densenet161", "densenet169", "densenet201", "vgg11_bn", "vgg16_bn", "vgg19_bn"}
