"""What CI systems are told: read back by an XML parser, and by the rules of GitHub's commands."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from allennlp_analyze.options.names import FAIL_ON
from allennlp_analyze.reports.annotations import github_annotations, junit_xml
from allennlp_analyze.results.failing import fails, failures
from allennlp_analyze.results.verdict import Verdict
from tests.support.report_factory import gaussian, make_layer, make_report, odd_report

pytestmark = pytest.mark.newest_python


def report():
    return make_report(
        make_layer(gaussian(30, 20), "well"),
        make_layer(np.zeros((20, 12)), "dead: 1,2%\n", verdict=Verdict.COLLAPSED),
        make_layer(gaussian(30, 20), "weak", verdict=Verdict.NEAR_COLLAPSE),
        make_layer(gaussian(30, 20), "coarse", verdict=Verdict.HIDDEN),
        make_layer(gaussian(30, 1), "row", verdict=Verdict.NOT_ASSESSED),
        make_layer(np.zeros((9, 3)), "table", kind="embedding", verdict=Verdict.COLLAPSED),
    )


def test_junit_has_a_case_for_each_layer():
    suite = ElementTree.fromstring(junit_xml(report()))
    said = {case.get("name"): [child.tag for child in case] for case in suite}
    assert said == {
        "well": [],
        "dead: 1,2%\\n": ["failure"],
        "weak": ["failure"],
        "coarse": ["skipped"],
        "row": ["skipped"],
        "table": ["failure"],
    }
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("6", "3", "2")


def test_odd_names_stay_xml_and_one_line_each():
    odd = odd_report()
    assert len(ElementTree.fromstring(junit_xml(odd))) >= len(odd.layers)
    assert len(github_annotations(odd).splitlines()) <= 19


def test_github_shows_errors_before_warnings():
    lines = github_annotations(report()).splitlines()
    assert [re.match(r"::(\w+) title=([^:,]*)::", line).groups() for line in lines[1:]] == [
        ("error", "dead%3A 1%2C2%25\\n"),
        ("error", "weak"),
        ("error", "table"),
        ("warning", "coarse"),
    ]


@pytest.mark.parametrize(
    ("fail_on", "named"),
    [
        ("collapsed", ["dead: 1,2%\n"]),
        ("near_collapse", ["dead: 1,2%\n", "weak"]),
        ("dead_units", ["dead: 1,2%\n", "weak"]),
        ("hidden", ["dead: 1,2%\n", "weak", "coarse"]),
    ],
)
def test_layers_that_count_fail(fail_on, named):
    assert [
        line.split(": collapsed")[0].split(": ")[0] for line in failures(report(), fail_on)
    ] == [name.split(": ")[0] for name in named]


def test_an_invalid_model_fails_always_and_an_unassessed_one_where_hidden_does():
    assert all(fails(Verdict.INVALID, fail_on) for fail_on in FAIL_ON)
    assert [fails(Verdict.NOT_ASSESSED, fail_on) for fail_on in FAIL_ON] == [True, *[False] * 3]
    assert not any(fails(Verdict.FULL_RANK, fail_on) for fail_on in FAIL_ON)
