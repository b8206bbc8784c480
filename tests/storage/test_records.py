"""Results from what JSON holds: enums are members again, and nothing else passes for one."""

import json
from dataclasses import dataclass
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.reports.json import plain
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.storage.records import decoded

verdicts = st.sampled_from(Verdict)


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    before: Optional[Verdict]
    counts: dict[Verdict, int]
    all: tuple[Verdict, ...]


@given(st.builds(Judged, verdicts, st.none() | verdicts, st.dictionaries(verdicts, st.integers())))
def test_verdicts_come_back_as_members(judged: Judged) -> None:
    contents = plain(judged)
    assert all(type(text) is str for text in (contents["verdict"], *contents["counts"]))
    found = decoded(Judged, json.loads(json.dumps(contents)))
    assert found == judged
    assert found.verdict is judged.verdict and found.before is judged.before
    assert all(isinstance(key, Verdict) for key in found.counts)
    assert all(isinstance(verdict, Verdict) for verdict in found.all)


@pytest.mark.parametrize("value", ["fine", "", "FULL_RANK", None, 3, [], {"verdict": "collapsed"}])
def test_what_is_no_verdict_is_refused_with_what_there_is(value: Any) -> None:
    known = ", ".join(verdict.value for verdict in Verdict)
    with pytest.raises(ValueError, match=f"expected one of {known}, got "):
        decoded(Verdict, value)
