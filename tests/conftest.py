"""What holds for every test: what hypothesis draws, which tests run where, and the corpus."""

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.support.corpus import Corpus, corpus_root

# A timing decides no test; in CI every run draws the same examples, elsewhere each its own.
settings.register_profile("house", deadline=None, max_examples=40, derandomize="CI" in os.environ)
settings.load_profile("house")
# Some shells start what runs in the background with SIGINT ignored, which its children inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Folders whose tests are of several packages, or of none.
CROSSING = ("architecture", "browser", "docs", "experiments", "formats", "security")


def pytest_collection_modifyitems(items: "list[pytest.Item]") -> None:
    """Skip what is marked as newest_python on the Python that AllenNLP needs.

    That these tests would pass there too is found out now and then (NEWEST_ONLY=0).
    """
    begun: set[str] = set()
    for item in items:
        function = item.nodeid.partition("[")[0]
        if function in begun or not is_measured(item):
            item.add_marker(pytest.mark.no_cover)
        begun.add(function)
    if sys.version_info >= (3, 11) or os.environ.get("NEWEST_ONLY") == "0":
        return
    reason = "the same with every Python: runs on the newest (NEWEST_ONLY=0 runs it here)"
    for item in items:
        if item.get_closest_marker("newest_python") is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Leave what the collection made out of all later collections of garbage.

    These are some hundred thousand objects, and each collection of all would take half a second.
    """
    gc.collect()
    gc.freeze()


def is_measured(item: "pytest.Item") -> bool:
    """Whether coverage is measured: by the tests of the packages, in the first of their cases.

    Before Python 3.12, measuring makes a test take half as long again. What hypothesis draws runs
    the same lines a hundred times, what the corpus holds runs them for every archive, and is not on
    every machine.
    """
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    drawn = is_hypothesis_test(getattr(item, "obj", None))
    return (
        folder not in CROSSING and not drawn and "corpus" not in getattr(item, "fixturenames", ())
    )


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables in pipes are whole; a test that wants a width sets it."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    if not (corpus_root() / "oracle.json").is_file():
        pytest.skip("the corpus of real archives (../shared/corpus) is not on this machine")
    return Corpus(corpus_root())
