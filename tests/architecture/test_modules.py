"""What every module keeps to: its size, its first line, and what it imports when it is imported.

Which package may import which is held by import-linter (`make lint`; see pyproject.toml).
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
PACKAGE = ROOT / "allennlp_analyze"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("allennlp_analyze", "scripts", "tests", "examples")
    for path in (ROOT / folder).rglob("*.py")
)
MODULE_LINES = 350
FUNCTION_LINES = 60
HEAVY = (
    "torch",
    "matplotlib",
    "pandas",
    "powerlaw",
    "rich",
    "cached_path",
    "filelock",
    "safetensors",
    "tqdm",
    "scipy",
    "threadpoolctl",
    "requests",
    "urllib3",
    "yaml",
    "distributed",
    "gguf",
    "h5py",
    "torchvision",
    "transformers",
    "lightning",
    "pytorch_lightning",
)
DOWNLOAD = "allennlp_analyze/sources/download"
# Modules that are themselves imported in functions only.
LAZY = {
    f"{DOWNLOAD}/http.py": {"requests"},
    f"{DOWNLOAD}/failures.py": {"requests", "urllib3"},
    f"{DOWNLOAD}/version.py": set(),
    f"{DOWNLOAD}/connection.py": {"requests"},
    f"{DOWNLOAD}/ranges.py": {"requests"},
    f"{DOWNLOAD}/remote_file.py": set(),
}
# What AllenNLP itself imports.
FOR_ALLENNLP = {"allennlp_analyze/plugin.py", "allennlp_analyze/monitor/allennlp.py"}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def statements(body: "list[ast.stmt]") -> Iterator[ast.stmt]:
    """Those in `body` and in them, without a look into the expressions, which are most of it."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            for inner in getattr(statement, name, ()):
                yield from statements([inner])


def targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        # `from package import module` names the module too.
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def imports_at_import_time(module: str) -> list[str]:
    """What importing the module imports: nothing in functions or under TYPE_CHECKING."""
    found: list[str] = []
    pending: list[ast.AST] = list(tree(module).body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
            continue
        found.extend(targets(node))
        pending.extend(ast.iter_child_nodes(node))
    return found


# Each test goes through all modules and lists every fault: a test for each module and rule would
# be a fifth of all tests, and take longer to begin than to run.
def test_imports_are_absolute() -> None:
    faults = {
        f"{module} imports {name}"
        for module in MODULES
        for node in statements(tree(module).body)
        for name in targets(node)
        if name.startswith(".")
    }
    assert faults == set()


def test_heavy_packages_are_imported_in_functions() -> None:
    faults = set()
    lazy = tuple(path[: -len(".py")].replace("/", ".") for path in LAZY)
    for module in MODULES:
        heavy = set(HEAVY) - LAZY.get(module, set())
        if module not in FOR_ALLENNLP:
            heavy.add("allennlp")
        for name in imports_at_import_time(module):
            if name.split(".")[0] in heavy or (module not in LAZY and name.startswith(lazy)):
                faults.add(f"{module} imports {name}")
    assert faults == set()


def test_the_first_line_says_the_job() -> None:
    first = {x: (ast.get_docstring(tree(x)) or "").split("\n")[0] for x in MODULES}
    assert [x for x, line in first.items() if not line.endswith((".", "?"))] == []


def test_modules_and_functions_are_short() -> None:
    faults = []
    for module in SOURCES:
        if (lines := len((ROOT / module).read_text(encoding="utf-8").splitlines())) > MODULE_LINES:
            faults.append(f"{module}: {lines} lines")
        faults += [
            f"{module}: {node.name}: {length} lines"
            for node in statements(tree(module).body)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
        ]
    assert faults == []


def test_the_readers_of_this_test_see_what_it_should() -> None:
    """`Path` objects would compare unequal to the names above."""
    assert all(isinstance(name, str) and Path(name).suffix == ".py" for name in (*LAZY, *MODULES))
    assert set(LAZY) <= set(MODULES)
    assert set(MODULES) >= FOR_ALLENNLP
