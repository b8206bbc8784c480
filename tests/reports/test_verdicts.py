"""Every verdict has its look and its words wherever people see verdicts: a new one, too."""

import json
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.analysis.summary import FOUND
from allennlp_analyze.data import read_schema
from allennlp_analyze.reports import console, notebook
from allennlp_analyze.reports.figures import style
from allennlp_analyze.reports.html import model as page
from allennlp_analyze.results.verdict import ADAPTER_VERDICTS, LAYER_VERDICTS, Verdict
from allennlp_analyze.zoo.reports.table import STATES
from scripts.tools import make_schemas
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
TEMPLATES = resources.files("allennlp_analyze.reports.html") / "templates"
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The first cells of its tables.
ROWS = re.findall(r"^\| (`.*?`) \|", README, re.MULTILINE)
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
    "README.md": (re.findall(r"`(\w+)`", "".join(ROWS)), Verdict),
}
# What the schemas hold of each: the lists (of models, of layers, of adapters) and tables of counts.
LISTS = {"report": (1, 3, 1), "compare": (1, 3, 0), "zoo": (3, 4, 0)}


@pytest.mark.parametrize("presenter", PRESENTERS)
def test_no_verdict_is_left_out(presenter: str) -> None:
    known, wanted = PRESENTERS[presenter]
    assert set(wanted) - set(known) == set()


def lists_of_verdicts(node: Any) -> "Iterator[Any]":
    """Every list and every table of counts in a schema that contains only verdicts."""
    if isinstance(node, dict):
        for found in (node.get("enum"), node.get("properties")):
            if found and set(found) <= set(Verdict):
                yield found
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list)):
            yield from lists_of_verdicts(child)


@pytest.mark.parametrize("name", LISTS)
def test_no_verdict_is_missing_in_a_schema(name: str) -> None:
    found = [list(verdicts) for verdicts in lists_of_verdicts(read_schema(name))]
    wanted = [list(Verdict), list(LAYER_VERDICTS), list(ADAPTER_VERDICTS)]
    assert tuple(found.count(verdicts) for verdicts in wanted) == LISTS[name]
    assert len(found) == sum(LISTS[name])


@pytest.mark.parametrize("file", ["REPORT", "COMPARISON", "ZOO"])
def test_a_verdict_that_a_schema_does_not_know_is_added(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = getattr(make_schemas, file).read_text(encoding="utf-8")
    schema = json.loads(wanted)
    for found in lists_of_verdicts(schema):
        for verdict in (Verdict.NEAR_COLLAPSE, Verdict.CONCENTRATED):
            if verdict in found:
                del found[verdict if isinstance(found, dict) else found.index(verdict)]
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    monkeypatch.setattr(make_schemas, file, path)
    assert make_schemas.main(["--check"]) == 1
    assert make_schemas.main([]) == 0 and path.read_text(encoding="utf-8") == wanted


def test_scripts_have_no_order_of_their_own() -> None:
    """They take the verdicts from the data of the page, where their order stands."""
    for file in TEMPLATES.iterdir():
        if file.name.endswith(".js"):
            text = file.read_text(encoding="utf-8")
            named = {word.strip("\"':") for word in re.findall(r"[\"']\w+[\"']|\b\w+:", text)}
            assert named & set(Verdict) == set(), file.name
