"""Fixtures that several test files share."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

# A timing decides no test; in CI every run draws the same examples.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


class Corpus:
    """The real archives beside the repository, and what the oracle says of each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.oracle = json.loads((root / "oracle.json").read_text())

    def path(self, name: str) -> Path:
        return self.root / name


def corpus_root() -> Path:
    return SHARED / "corpus"


def corpus_names() -> list[str]:
    """Archive names for parametrisation; empty where the corpus is absent."""
    oracle = corpus_root() / "oracle.json"
    return sorted(json.loads(oracle.read_text())) if oracle.is_file() else []


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    if not (corpus_root() / "oracle.json").is_file():
        pytest.skip("the corpus of real archives (../shared/corpus) is not on this machine")
    return Corpus(corpus_root())
