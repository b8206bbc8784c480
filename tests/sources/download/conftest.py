"""Fixtures of the tests of downloads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from allennlp_analyze.sources.download import failures as http_errors
from tests.support.http_server import HttpServer


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of one's own, no proxy, and little patience."""
    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path / "cache-root"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(http_errors, "BACKOFF", 0.01)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = HttpServer()
    yield running
    running.close()
