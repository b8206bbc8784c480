"""`import allennlp_analyze` costs nothing; `analyze` is there all the same."""

import json
import subprocess
import sys

import pytest

import allennlp_analyze
from tests.architecture.test_modules import HEAVY
from tests.support.commands import ROOT


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


def test_everything_promised_is_there() -> None:
    for name in allennlp_analyze.__all__:
        assert getattr(allennlp_analyze, name)
        assert name in dir(allennlp_analyze)
    assert allennlp_analyze.analyze.__module__ == "allennlp_analyze.api"


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'measure'"):
        allennlp_analyze.measure  # type: ignore[attr-defined]  # noqa: B018
