"""The corpus of real archives, which lies beside the repository on machines that have it."""

import json
from pathlib import Path

from tests.support.commands import ROOT

SHARED = ROOT.parent / "shared"


class Corpus:
    """The real archives beside the repository, and what the oracle says of each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.oracle = json.loads((root / "oracle.json").read_text())

    def path(self, name: str) -> Path:
        return self.root / name


def corpus_root() -> Path:
    return SHARED / "corpus"


def newest_of_each_model(names: "list[str]") -> "list[str]":
    """Of the archives of the same model by several releases, the newest."""
    return sorted({Path(name).name: name for name in names}.values())


def corpus_names() -> list[str]:
    """Archive names for parametrization; empty where the corpus is absent."""
    oracle = corpus_root() / "oracle.json"
    return sorted(json.loads(oracle.read_text())) if oracle.is_file() else []
