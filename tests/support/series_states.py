"""States of a layer in a series that is made up."""

from dataclasses import replace

from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.series.results import State

WELL = State(Verdict.FULL_RANK, 0, 0, 0.5, 1.0, 20.0, 30.0, 3.0, 2.0, 0.1, 1.0, "")
BAD = replace(WELL, verdict=Verdict.COLLAPSED, lost_directions=7, null_ratio=1e-6, reason="dead")
NEAR = replace(WELL, verdict=Verdict.NEAR_COLLAPSE, null_ratio=0.04, alpha=None)
