"""The limits of the verdict's rule, as the documents quote them, are those that are in force."""

import re

import pytest

from allennlp_analyze.analysis import adapters, causes
from allennlp_analyze.metrics import judging
from allennlp_analyze.results import verdict
from allennlp_analyze.text.counts import fraction, percent
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in DOCUMENTS)
WORDS = {0.1: "tenth", 0.5: "half", 1e-3: "thousandth"}
# Every way in which a document quotes a limit, with the figure as a group, and the figures.
QUOTED = {
    "MIN_Q": (r"\bQ (?:>|≤|<=|above) (\d+\.\d+)\b", {f"{verdict.MIN_Q}"}),
    "APART_SHARE": (
        r"\*\*apart\*\*: σ_k is at most (\d+%) of the median",
        {percent(judging.APART_SHARE)},
    ),
    "LOST_SHARE": (
        r"\*\*deep\*\*: σ_k is at most (\d+%) of the level",
        {percent(verdict.LOST_SHARE)},
    ),
    "MANY_SHARE": (
        r"\bat least (a \w+th) of all directions",
        {fraction(verdict.MANY_SHARE)},
    ),
    "NEAR_SHARE": (
        r"\bbelow (\d+%) of (?:their own null median|the level of the bulk|what independent)",
        {percent(verdict.NEAR_SHARE)},
    ),
    "SUNK_SHARE": (r"\bbelow a (\w+) of every usual init[^.]*\(", {WORDS[judging.SUNK_SHARE]}),
    "BULK_SHARE": (
        r"\bmore than (\d+%) of the directions (?:counts|are below)",
        {percent(judging.BULK_SHARE)},
    ),
    "DECAYED_SHARE": (
        r"entries are below a (\w+) of every usual",
        {WORDS[judging.DECAYED_SHARE]},
    ),
    "PART_SHARE": (r"two directions and (\d+%) of all", {percent(judging.PART_SHARE)}),
    "NEEDED_EVIDENCE": (r"at least (\w+) of it lies in", {WORDS[causes.NEEDED_EVIDENCE]}),
    "MIN_JUDGED_SHARE": (
        r"(?:[Ll]ess than|Under) (\w+)(?: of the weights were judged|, a model)",
        {WORDS[verdict.MIN_JUDGED_SHARE]},
    ),
    "CONCENTRATED_SHARE": (
        r"over (\d+%) of (?:‖δ‖²|it in one direction)",
        {percent(adapters.CONCENTRATED_SHARE)},
    ),
    "USED_SHARE": (r"`used_directions` \(above (\d+%)", {percent(adapters.USED_SHARE)}),
}


@pytest.mark.parametrize("what", QUOTED)
def test_the_figures_are_those_in_force(what: str) -> None:
    pattern, figures = QUOTED[what]
    assert set(re.findall(pattern, TEXT)) == figures
