"""The reference names every public option, verdict, format and name of the package, once."""

import re
from inspect import signature

import pytest

import allennlp_analyze
from allennlp_analyze import analyze
from allennlp_analyze.options.option import COMMANDS, Place
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.sources.formats.registry import FORMATS
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
REFERENCE = ROOT / "docs" / "reference"


def read(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_every_option_has_one_row_of_each_command_that_has_it() -> None:
    commands = read("cli.md").split("\n## ")[1:]
    rows = [re.findall(r"^\| `(?:-\w, )?(--[\w-]+)", command, re.M) for command in commands]
    for found in rows:
        assert len(found) == len(set(found))
    shown = {option for found in rows for option in found}
    assert len(TABLE) > 30
    for option in TABLE.values():
        if {*option.places} & {*COMMANDS}:
            flag = f"--{(option.flag or option.name).replace('_', '-')}"
            assert flag in shown, option.name
        if Place.LIBRARY in option.places:
            assert option.name in signature(analyze).parameters, option.name
        if Place.MANIFEST in option.places:
            assert f"| `{option.name}` |" in read("manifests.md"), option.name


def test_every_verdict_has_one_row_of_the_table_of_verdicts() -> None:
    section = read("metrics.md").split("## The verdict on a layer\n\n")[1]
    table = section.split("\n\n")[0]
    named = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?`) \|", table, re.M)))
    assert sorted(named) == sorted(Verdict)
    assert f"\n\n{table}\n\n" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_ending_of_a_format_is_in_the_table_of_formats() -> None:
    table = read("formats.md").split("## Weights files")[1].split("\n## ")[0]
    endings = {x.strip("`") for x in re.findall(r"`\.[\w.]+`", table)}
    for kind in FORMATS:
        assert set(kind.endings) <= endings, kind


def test_every_public_name_has_one_entry() -> None:
    entries = re.findall(r"^::: (\S+)$", read("python.md"), re.M)
    assert len(entries) == len(set(entries))
    for name in allennlp_analyze.__all__:
        if not name.startswith("__"):
            assert f"allennlp_analyze.{name}" in entries
