"""A comparison says why: the causes before and after, in the sentence, the lists and the files."""

import io

import numpy as np
import pytest

from allennlp_analyze import Report, analyze
from allennlp_analyze.compare.compare import compare_models
from allennlp_analyze.compare.reports.console import print_comparison
from allennlp_analyze.compare.reports.html import compare_html
from allennlp_analyze.compare.reports.json import comparison_to_dict
from allennlp_analyze.compare.results import ComparedModel, ComparisonReport
from tests.support.html_elements import words
from tests.support.matrices import gaussian

pytestmark = pytest.mark.newest_python
DEAD = [2, 7, 11]
DEAD_INPUTS = "full rank -> dead units (3 of 24 directions, dead inputs 2, 7, 11)"
BLIND = "1 of 2 directions, the constant over classes: softmax does not see it; harmless"


def model(dead: bool = False, blind: bool = False) -> Report:
    body, head = gaussian(0, 60, 24), gaussian(2, 2, 60)
    if dead:
        body[:, DEAD] = 0
    if blind:
        head -= head.mean(axis=0)
    assert np.linalg.matrix_rank(body) == 24 - (len(DEAD) if dead else 0)
    tensors = {"body.weight": body, "middle.weight": gaussian(1, 60, 60), "head.weight": head}
    return analyze(tensors)


def comparison(before: Report, after: Report) -> ComparisonReport:
    return compare_models(ComparedModel("a", before), [ComparedModel("b", after)])


def printed(found: ComparisonReport) -> str:
    stream = io.StringIO()
    print_comparison(found, False, [], stream)
    return " ".join(stream.getvalue().split())


def test_a_new_cause_is_everywhere() -> None:
    found = comparison(model(), model(dead=True))
    sentence = found.candidates[0].sentence
    assert "(body: 3 of 24 directions lost, 0 in A; cause: dead inputs)" in sentence
    evidence = f"body: {DEAD_INPUTS}; smallest singular value"
    assert f"Worse in B than in A, worst first (1): {evidence}" in printed(found)
    worse = comparison_to_dict(found)["candidates"][0]["worse"]
    assert [one["layer"] for one in worse] == ["body"]
    assert worse[0]["reason"].startswith(f"{DEAD_INPUTS}; smallest singular value")
    assert worse[0]["reason"].endswith("; directions lost 0 of 24 -> 3 of 24")
    pairs = {p["baseline"]: p for p in comparison_to_dict(found)["candidates"][0]["pairs"]}
    assert pairs["body"]["cause_change"] == DEAD_INPUTS
    assert pairs["body"]["baseline_reason"] == ""
    assert pairs["body"]["candidate_reason"] == "3 of 24 directions, dead inputs 2, 7, 11"
    assert pairs["middle"]["cause_change"] is None
    page = words(compare_html(found))
    assert f"body {DEAD_INPUTS.replace('->', '→')}; smallest singular value" in page


def test_a_cause_that_is_gone_is_that_of_a() -> None:
    found = comparison(model(dead=True), model())
    assert (
        "0 of 24 directions lost, 3 in A; cause in A: dead inputs" in found.candidates[0].sentence
    )
    assert "dead inputs 2, 7, 11) -> full rank" in printed(found)


def test_a_harmless_direction_is_said_and_makes_nothing_worse() -> None:
    found = comparison(model(), model(blind=True))
    (pair,) = [p for p in found.candidates[0].pairs if p.cause_changed]
    assert (pair.baseline.name, pair.change) == ("head", "same")
    assert f"head: full rank -> full rank ({BLIND})" in printed(found)
    assert "no layer got worse or better" in found.candidates[0].sentence
    assert "cause" not in found.candidates[0].sentence


def test_nothing_is_said_of_what_did_not_change() -> None:
    found = comparison(model(dead=True), model(dead=True))
    for text in (printed(found), compare_html(found)):
        assert "verdicts and causes" not in text and "Worse in B" not in text
    pairs = comparison_to_dict(found)["candidates"][0]["pairs"]
    assert [pair["cause_change"] for pair in pairs] == [None] * 3
    assert any(pair["candidate_reason"] for pair in pairs)
