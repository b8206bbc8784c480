"""The table of formats in docs/reference/: a row for each, and in it a test of its library."""

import ast
import re

import pytest

from allennlp_analyze.sources.formats.registry import FORMATS
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python

(PAGE,) = (ROOT / "docs").rglob("formats.md")
COLUMNS = (
    "| format | versions | what is read | library, and how values are compared | refused | test |"
)


def rows() -> list[list[str]]:
    """The cells of each row of the table."""
    _, _, after = PAGE.read_text(encoding="utf-8").partition(f"{COLUMNS}\n")
    lines = re.match(r"(?:\|.*\n)+", after)
    assert lines is not None, "the page has no such table"
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines.group().splitlines()[1:]
    ]


def libraries_of(tree: ast.AST) -> set[str]:
    """The modules that a test file imports, and those that it imports where they are installed."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("importorskip"):
            found |= {x.value for x in node.args if isinstance(x, ast.Constant)}
    return {".".join(name.split(".")[:end]) for name in found for end in range(1, 4)}


def test_every_format_of_the_registry_has_a_row() -> None:
    described = [row[0].partition(",")[0] for row in rows()]
    assert {type(known).__name__ for known in FORMATS} == set(described)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_names_a_test_that_uses_its_library(row: list[str]) -> None:
    assert len(row) == 6 and all(row)
    library = row[3].partition(":")[0]
    path, _, function = row[5].strip("`").partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = {x.name: x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef)}
    assert function in functions
    assert library in libraries_of(tree)
    # It must not be switched off.
    decorators = [ast.unparse(x) for x in functions[function].decorator_list]
    assert not [x for x in decorators if x.startswith(("pytest.mark.skip(", "pytest.mark.xfail"))]
