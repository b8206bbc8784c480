"""Every verdict has its look and its words wherever people see verdicts: a new one, too."""

import re
from collections.abc import Iterable
from importlib import resources

import pytest

from allennlp_analyze.analysis.summary import FOUND
from allennlp_analyze.data import read_schema
from allennlp_analyze.reports import console, notebook
from allennlp_analyze.reports.figures import style
from allennlp_analyze.reports.html import model as page
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.zoo.reports.table import STATES

pytestmark = pytest.mark.newest_python
TEMPLATES = resources.files("allennlp_analyze.reports.html") / "templates"
CSS = (TEMPLATES / "page.css").read_text(encoding="utf-8")
PRESENTERS: "dict[str, tuple[Iterable[str], Iterable[Verdict]]]" = {
    "the sentence": (FOUND, LAYER_VERDICTS),
    "the terminal": (console.VERDICT_STYLES, Verdict),
    "figures": (style.VERDICT_COLOURS, LAYER_VERDICTS),
    "notebooks": (notebook.VERDICT_COLOURS, Verdict),
    "bars of the page": (page.BAR_STYLES, LAYER_VERDICTS),
    "marks of the pages": (re.findall(r"\.mark\.(\w+)::before", CSS), Verdict),
    "banners of the pages": (
        re.findall(r"\.banner\.(\w+)", CSS),
        [verdict for verdict in Verdict if verdict.is_judgement],  # others are grey
    ),
    "the table of a zoo": (STATES, Verdict),
    "report.json": (
        read_schema("report")["$defs"]["layer"]["properties"]["verdict"]["enum"],
        LAYER_VERDICTS,
    ),
}


@pytest.mark.parametrize("presenter", PRESENTERS)
def test_no_verdict_is_left_out(presenter: str) -> None:
    known, wanted = PRESENTERS[presenter]
    assert set(wanted) - set(known) == set()


def test_scripts_have_no_order_of_their_own() -> None:
    """They take the verdicts from the data of the page, where their order stands."""
    for file in TEMPLATES.iterdir():
        if file.name.endswith(".js"):
            text = file.read_text(encoding="utf-8")
            named = {word.strip("\"':") for word in re.findall(r"[\"']\w+[\"']|\b\w+:", text)}
            assert named & set(Verdict) == set(), file.name
