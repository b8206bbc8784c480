"""What every script keeps to: it is a module of scripts/, and its usage says how to run it."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python


def parsers(path: Path) -> "list[ast.Call]":
    """The calls of `ArgumentParser` in the file."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ArgumentParser")
    ]


def module_of(path: Path) -> str:
    """What follows `python -m`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__main__")


SHARED = ROOT / "scripts" / "tools" / "generated.py"
SCRIPTS = [path for path in sorted((ROOT / "scripts").rglob("*.py")) if parsers(path)]


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path != SHARED], ids=module_of)
def test_usage_says_how_the_script_is_run(path: Path) -> None:
    (parser,) = parsers(path)
    keywords = {keyword.arg: keyword.value for keyword in parser.keywords}
    assert ast.literal_eval(keywords["prog"]) == f"python -m {module_of(path)}"


@pytest.mark.parametrize("path", sorted(SHARED.parent.glob("make_*.py")), ids=module_of)
def test_scripts_that_write_generated_files_say_their_own_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r'write_or_check\(\s*"([\w.]+)"', text) == [module_of(path)]
