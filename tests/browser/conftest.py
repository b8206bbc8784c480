"""A browser for this folder, and a page of a report in it; a module may have another report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.reports.html.model import write_html
from allennlp_analyze.results.layer import ModelReport
from tests.support.browser import Opened, chromium, opened
from tests.support.page_reports import edge_cases
from tests.support.report_factory import make_reference


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def report() -> ModelReport:
    found = edge_cases()
    return replace(found, reference=make_reference(found.layers[1]))


@pytest.fixture(scope="module")
def path(report: ModelReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_html(report, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def page(browser: Any, path: Path) -> Iterator[Opened]:
    with opened(browser, path) as found:
        yield found
