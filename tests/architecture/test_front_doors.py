"""Only the command line writes options as they are typed there: nothing below it says --max-dim."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
PACKAGE = ROOT / "allennlp_analyze"
FLAG = re.compile(r"(?<![\w-])--[a-z]")
BELOW = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.parent != PACKAGE / "cli" and path != PACKAGE / "plugin.py"
)
# The option is AllenNLP's own, of `allennlp train`.
OTHERS = {"saving the state for --recover"}


def texts(path: Path) -> "list[str]":
    """The strings in a module that are no documentation; none of it where none has an option."""
    text = path.read_text(encoding="utf-8")
    if "--" not in text:
        return []
    tree = ast.parse(text)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
    ]


def test_no_text_names_an_option_as_it_is_typed() -> None:
    found = [(path.name, text) for path in BELOW for text in texts(path) if FLAG.search(text)]
    assert [(name, text) for name, text in found if text not in OTHERS] == []
    assert {text for _, text in found} == OTHERS  # the search sees what is there


def test_templates_and_schemas_do_not_either() -> None:
    files = [path for ending in ("html", "js", "json") for path in PACKAGE.rglob(f"*.{ending}")]
    assert len(files) > 5
    for path in files:
        text = path.read_text(encoding="utf-8").replace("var(--", "var(")  # variables of CSS
        assert FLAG.findall(text) == [], path
