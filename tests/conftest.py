"""Fixtures that several test files share."""

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A timing decides no test; in CI every run draws the same examples.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")

# What is the same with every Python and without AllenNLP, and takes long. These run where there is
# no AllenNLP; that they would pass with it is found out now and then (NEWEST_ONLY=0).
NEWEST_ONLY = {
    "test_benchmark",
    "test_benchmark_monitor",
    "test_claims_page",
    "test_compare_console",
    "test_compare_html",
    "test_esd_plots",
    "test_examples",
    "test_figure_colours",
    "test_figure_file",
    "test_model_plots",
    "test_monitor_budget",
    "test_monitor_layers",
    "test_plots",
    "test_rank_collapse_data",
    "test_rank_collapse_figures",
    "test_rank_collapse_net",
    "test_rank_collapse_page",
    "test_rank_collapse_script",
    "test_rank_collapse_sweep",
    "test_rank_collapse_theory",
    "test_rank_collapse_tikhonov",
    "test_rank_collapse_words",
    "test_readme_zoo",
    "test_real_weights",
    "test_reference_console",
    "test_report_html",
    "test_reproduce_script",
    "test_singular_value_plots",
    "test_verdict_margins",
    "test_zoo",
    "test_zoo_console",
    "test_zoo_csv",
    "test_zoo_dask",
    "test_zoo_engine",
    "test_zoo_html",
    "test_zoo_json",
    "test_zoo_manifest",
    "test_zoo_names",
    "test_zoo_options",
    "test_zoo_plots",
    "test_zoo_scan",
    "test_zoo_summary",
}

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def pytest_collection_modifyitems(items: "list[pytest.Item]") -> None:
    """Skip what NEWEST_ONLY names on the Python that AllenNLP needs."""
    if sys.version_info >= (3, 11) or os.environ.get("NEWEST_ONLY") == "0":
        return
    reason = "the same with every Python: runs on the newest (NEWEST_ONLY=0 runs it here)"
    for item in items:
        if item.path.stem in NEWEST_ONLY:
            item.add_marker(pytest.mark.skip(reason=reason))


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
