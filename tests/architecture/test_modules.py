"""What every module keeps to: its size, its first line, and what it imports when it is imported.

Which package may import which is held by import-linter (`make lint`; see pyproject.toml).
"""

import ast
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


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


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


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_absolute(module: str) -> None:
    names = [name for node in ast.walk(tree(module)) for name in targets(node)]
    assert not [name for name in names if name.startswith(".")]


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_in_functions(module: str) -> None:
    found = imports_at_import_time(module)
    roots = {name.split(".")[0] for name in found}
    assert not roots & (set(HEAVY) - LAZY.get(module, set()))
    if module not in LAZY:
        lazy = tuple(path[: -len(".py")].replace("/", ".") for path in LAZY)
        assert not [name for name in found if name.startswith(lazy)]
    if module not in FOR_ALLENNLP:
        assert "allennlp" not in roots


@pytest.mark.parametrize("module", MODULES)
def test_the_first_line_says_the_job(module: str) -> None:
    line = (ast.get_docstring(tree(module)) or "").split("\n")[0]
    assert line.endswith((".", "?")), f"{module}: no docstring that says its job in one line"


@pytest.mark.parametrize("module", SOURCES)
def test_modules_and_functions_are_short(module: str) -> None:
    text = (ROOT / module).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert not long


def test_the_readers_of_this_test_see_what_it_should() -> None:
    """`Path` objects would compare unequal to the names above."""
    assert all(isinstance(name, str) and Path(name).suffix == ".py" for name in (*LAZY, *MODULES))
    assert set(LAZY) <= set(MODULES)
    assert set(MODULES) >= FOR_ALLENNLP
