"""Says in the forms of CI systems which layers are not healthy: JUnit XML, GitHub's annotations."""

from xml.etree import ElementTree

from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.names import printable

JUNIT = "junit.xml"
# GitHub shows ten annotations of each kind for a step.
MOST_ANNOTATIONS = 10
_ERRORS = (Verdict.COLLAPSED, Verdict.INVALID, Verdict.NEAR_COLLAPSE)
_WARNINGS = (Verdict.DEAD_UNITS, Verdict.HIDDEN)
_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_ESCAPES_OF_TITLES = {**_ESCAPES, ":": "%3A", ",": "%2C"}


def github_annotations(report: ModelReport) -> str:
    """Returns GitHub's workflow commands: the verdict on the model, then a line for each layer.

    Lines of errors come before those of warnings, as GitHub shows only the first of each.
    """
    summary = report.summary
    lines = [_command(_level(summary.verdict), report.source.archive, summary.sentence)]
    for verdicts, level in ((_ERRORS, "error"), (_WARNINGS, "warning")):
        found = [layer for layer in report.layers if layer.verdict in verdicts]
        lines += [
            _command(level, layer.name, _said(layer)) for layer in found[: MOST_ANNOTATIONS - 1]
        ]
    return "\n".join(lines) + "\n"


def junit_xml(report: ModelReport) -> str:
    """Returns a test suite of the model, with a case for each layer and each invalid matrix.

    Layers that are hidden or could not be assessed are skipped cases.
    """
    suite = ElementTree.Element("testsuite", name=printable(report.source.archive))
    for layer in report.layers:
        case = ElementTree.SubElement(
            suite, "testcase", classname=layer.kind, name=printable(layer.name)
        )
        if layer.verdict in (*_ERRORS, Verdict.DEAD_UNITS):
            ElementTree.SubElement(
                case, "failure", type=layer.verdict.value, message=printable(_said(layer))
            )
        elif layer.verdict is not Verdict.FULL_RANK:
            ElementTree.SubElement(case, "skipped", message=printable(_said(layer)))
    invalid = [tensor for tensor in report.skipped if tensor.invalid]
    for tensor in invalid:
        case = ElementTree.SubElement(
            suite, "testcase", classname="invalid", name=printable(tensor.parameter)
        )
        ElementTree.SubElement(case, "failure", type="invalid", message=printable(tensor.reason))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("*/failure"))))
    suite.set("skipped", str(len(suite.findall("*/skipped"))))
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _said(layer: LayerResult) -> str:
    return f"{layer.verdict.words}: {layer.reason}" if layer.reason else layer.verdict.words


def _level(verdict: Verdict) -> str:
    return "error" if verdict in _ERRORS else "warning" if verdict in _WARNINGS else "notice"


def _command(level: str, title: str, text: str) -> str:
    return f"::{level} title={_escaped(title, _ESCAPES_OF_TITLES)}::{_escaped(text, _ESCAPES)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in printable(text))
