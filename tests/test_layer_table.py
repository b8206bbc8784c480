"""Which module may import which: downward only, and heavy packages only where they are needed."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "allennlp_analyze"
MODULES = sorted(
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    for path in PACKAGE.rglob("*.py")
)

# A module may import from its own layer and from those below; `reports` only from layer 0.
LAYERS = (
    (
        "errors",
        "lost",
        "settings",
        "results",
        "reference_results",
        "compared",
        "zoo_results",
        "monitor_results",
        "sizes",
        "version",
    ),
    (
        "sources",
        "layers",
        "assembled",
        "scratch",
        "kinds",
        "entries",
        "gram",
        "openblas",
        "tridiagonal",
        "refine",
        "spectra",
        "ranks",
        "norms",
        "modules",
        "marchenko_pastur",
        "power_law",
        "verdict",
        "distances",
        "cuda",
        "cost",
        "schedule",
        "clock",
        "tool",
        "reference_table",
        "published",
        "monitor_budget",
        "monitor_processes",
        "monitor_layers",
        "monitor_advice",
    ),
    (
        "analysis",
        "summary",
        "reference",
        "reference_pairs",
        "claims",
        "zoo_summary",
        "monitor_work",
    ),
    ("reports",),
    ("run", "build"),
    (
        "zoo",
        "zoo_manifest",
        "zoo_entries",
        "zoo_names",
        "zoo_options",
        "zoo_records",
        "zoo_scan",
        "zoo_unit",
        "zoo_engine",
        "zoo_dask",
        "zoo_worker",
        "compare",
        "compare_notes",
        "matching",
        "operands",
    ),
    ("keywords", "objects", "api", "monitor", "__init__"),
    (
        "cli",
        "cli_render",
        "cli_compare",
        "cli_zoo",
        "guarded",
        "arguments",
        "install",
        "plugin",
        "allennlp_callback",
        "monitor_callbacks",
        "__main__",
    ),
)
HEAVY = (
    "torch",
    "matplotlib",
    "pandas",
    "powerlaw",
    "rich",
    "cached_path",
    "safetensors",
    "tqdm",
    "scipy",
    "threadpoolctl",
    "requests",
    "urllib3",
    "yaml",
    "distributed",
    "torchvision",
    "transformers",
    "lightning",
    "pytorch_lightning",
)
# Modules that are themselves imported in functions only.
LAZY = {
    "allennlp_analyze.sources.http_client": {"requests"},
    "allennlp_analyze.sources.http_errors": {"requests", "urllib3"},
}
FRONT_DOORS = ("cli", "cli_render", "cli_compare", "cli_zoo", "arguments", "plugin", "__main__")
# What AllenNLP itself imports; in a function `build` does, for --build-model.
FOR_ALLENNLP = ("plugin", "allennlp_callback")
ALLENNLP_IMPORTERS = (*FOR_ALLENNLP, "build")


def part(module):
    """The name by which the table knows a module: `reports.csv` belongs to `reports`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def layer_of(module):
    (found,) = [number for number, names in enumerate(LAYERS) if part(module) in names]
    return found


def tree(module):
    path = PACKAGE.parent / Path(*module.split(".")).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def targets(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        # `from package import module` names the module too.
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def imports(module):
    """Everything the module imports, wherever."""
    return [name for node in ast.walk(tree(module)) for name in (*targets(node), *called(node))]


def called(node):
    """What a call of `import_module` or `__import__` with a constant name imports."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in {"import_module", "__import__"}:
            return [node.args[0].value]
    return []


def imports_at_import_time(module):
    """What importing the module imports: nothing in functions or under TYPE_CHECKING."""
    found, pending = [], list(tree(module).body)
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


def roots(names):
    return {name.split(".")[0] for name in names}


def own(names):
    """The parts of this package among `names`."""
    return {part(name) for name in names if name.split(".")[0] == "allennlp_analyze"}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_place(module):
    assert sum(part(module) in names for names in LAYERS) == 1, f"put {module} into LAYERS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_absolute_and_go_downward(module):
    names = imports(module)
    assert not [name for name in names if name.startswith(".")]
    above = {p for p in own(names) if layer_of(f"allennlp_analyze.{p}") > layer_of(module)}
    assert not above


@pytest.mark.parametrize("module", [m for m in MODULES if layer_of(m) == 0])
def test_layer_0_needs_the_standard_library_and_numpy_only(module):
    standard = getattr(sys, "stdlib_module_names", None)
    if standard is None:
        pytest.skip("Python 3.9 does not list its standard library")
    assert roots(imports(module)) <= {*standard, "numpy", "allennlp_analyze"}


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "reports"])
def test_reports_compute_nothing(module):
    results = {"results", "reference_results", "compared", "zoo_results"}
    assert own(imports(module)) <= {"errors", "version", "reports"} | results


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_in_functions(module):
    found = imports_at_import_time(module)
    assert not roots(found) & (set(HEAVY) - LAZY.get(module, set()))
    if module not in LAZY:
        assert not [name for name in found if name.startswith(tuple(LAZY))]


@pytest.mark.parametrize("module", MODULES)
def test_only_what_allennlp_imports_needs_it(module):
    if part(module) not in FOR_ALLENNLP:
        assert "allennlp" not in roots(imports_at_import_time(module))
        assert not own(imports(module)) & set(FOR_ALLENNLP)
    if part(module) not in ALLENNLP_IMPORTERS:
        assert "allennlp" not in roots(imports(module))


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) not in FRONT_DOORS])
def test_only_the_front_doors_parse_arguments(module):
    assert "argparse" not in roots(imports(module))


@pytest.mark.parametrize("module", MODULES)
def test_the_first_line_says_the_job(module):
    if part(module) in {"reports", "sources"} and module.endswith("__init__"):
        return
    line = (ast.get_docstring(tree(module)) or "").split("\n")[0]
    assert line.endswith((".", "?")), f"{module}: no docstring that says its job in one line"
