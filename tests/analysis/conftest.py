"""Fixtures of the tests of the analysis."""

from collections.abc import Iterator

import pytest

from tests.support.http_server import HttpServer


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = HttpServer()
    yield running
    running.close()
