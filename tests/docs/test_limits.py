"""The limits of the verdict's rule, as the documents quote them, are those that are in force."""

import re

import pytest

from allennlp_analyze.results.verdict import LOST_SHARE, MANY_SHARE, MIN_Q, NEAR_SHARE
from allennlp_analyze.text.counts import fraction, percent
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in DOCUMENTS)
EDGE = r"(?:that|it|the edge|the lower edge)\b"
# What is quoted, and every way in which the documents do, with the figure as a group.
QUOTED = {
    "MIN_Q": (r"\bQ (?:>|≤|<=|above) (\d+\.\d+)\b", {f"{MIN_Q}"}),
    "shares in percent": (
        rf"\bbelow (\d+%) of {EDGE}",
        {percent(LOST_SHARE), percent(NEAR_SHARE)},
    ),
    "shares of the edge": (
        r"\b(0\.\d+) · lower edge",
        {f"{LOST_SHARE:g}", f"{NEAR_SHARE:g}"},
    ),
    "MANY_SHARE": (
        r"\b(?:or|at least) (a \w+th) of (?:all|the M) directions",
        {fraction(MANY_SHARE)},
    ),
    "NEAR_SHARE of many": (
        rf"\bdirections, and at least two, are below (\d+%) of {EDGE}",
        {percent(NEAR_SHARE)},
    ),
    "near_collapse": (r"`near_collapse` \| it is below (\d+%)", {percent(NEAR_SHARE)}),
    "a lost direction": (r"or below (\d+%) of the (?:lower )?edge", {percent(LOST_SHARE)}),
}


@pytest.mark.parametrize("what", QUOTED)
def test_the_figures_are_those_in_force(what: str) -> None:
    pattern, figures = QUOTED[what]
    assert set(re.findall(pattern, TEXT)) == figures
