"""`import allennlp_analyze` costs nothing; `analyze` is there all the same."""

import json
import subprocess
import sys

import pytest

import allennlp_analyze
from tests.architecture.test_modules import HEAVY
from tests.support.commands import ROOT

# A new name is a promise: it is added here on purpose.
PUBLIC = {
    "allennlp_analyze": {"Layer", "RankMonitor", "Report", "__version__", "analyze", "load"},
    "allennlp_analyze.zoo": {"ZooRequest", "run_zoo"},
    "allennlp_analyze.monitor": {
        "RankMonitor",
        "RunHistory",
        "hugging_face_callback",
        "lightning_callback",
        "read_run_history",
        "write_run_page",
    },
}


def imported(statement: str) -> set[str]:
    """The top-level packages that a new interpreter has imported after `statement`."""
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_package_imports_neither_numpy_nor_anything_heavy() -> None:
    found = imported("import allennlp_analyze; assert allennlp_analyze.__version__")
    assert "allennlp_analyze" in found
    assert not found & {"numpy", "allennlp", *HEAVY}


def test_importing_the_functions_imports_only_numpy() -> None:
    found = imported("from allennlp_analyze import analyze, load, Report, Layer")
    assert "numpy" in found
    assert not found & {"allennlp", *HEAVY}


@pytest.mark.parametrize("package", PUBLIC)
def test_everything_promised_is_there_and_dir_shows_nothing_else(package: str) -> None:
    """In a process that has imported every submodule that the names need."""
    code = (
        f"import sys, {package} as m; names = m.__all__\n"
        "assert all(getattr(m, name) for name in names)\n"
        "scope = {}; exec(f'from {m.__name__} import *', scope)\n"
        "assert set(names) <= set(scope)\n"
        "submodules = {x for x in vars(m) if f'{m.__name__}.{x}' in sys.modules}\n"
        "print(*dir(m)); print(*submodules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    shown, submodules = (line.split() for line in done.stdout.splitlines())
    assert shown == sorted(PUBLIC[package]) and len(submodules) > 1


def test_the_functions_live_where_documents_say() -> None:
    assert allennlp_analyze.analyze.__module__ == "allennlp_analyze.api"


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'measure'"):
        allennlp_analyze.measure  # type: ignore[attr-defined]  # noqa: B018
