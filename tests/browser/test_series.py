"""The page of a series in a real browser: figures over time, sorting, opening, for everyone."""

from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.series.reports.html import write_series_html
from allennlp_analyze.series.results import SeriesCheckpoint, SeriesReport, Track
from tests.support.browser import opened
from tests.support.report_factory import ODD_NAMES, make_report
from tests.support.series_states import BAD, NEAR, WELL

CHECKPOINTS = tuple(
    SeriesCheckpoint(f"step-{n}", f"step-{n}", None, n, f"checkpoints/step-{n}", verdict, "Words.")
    for n, verdict in (
        (0, Verdict.FULL_RANK),
        (10, Verdict.NEAR_COLLAPSE),
        (200, Verdict.COLLAPSED),
    )
)


def report(names: "tuple[str, ...]" = ("good", "bad", "late")) -> SeriesReport:
    states = ((WELL, WELL, WELL), (WELL, NEAR, BAD), (None, WELL, NEAR))
    tracks = tuple(
        Track(name, "linear", 40, (60, 40), states[i % 3]) for i, name in enumerate(names)
    )
    return SeriesReport(make_report().tool, "run", {"layers": None}, CHECKPOINTS, tracks)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series_html(report(), tmp_path_factory.mktemp("series") / "series.html")


def test_what_it_shows(browser: Any, page: Path) -> None:
    with opened(browser, page) as shown:
        assert shown.texts("#figures figcaption") == [
            "Smallest singular value over that of noise",
            "Lost directions",
            "Size of the weights over the start",
            "Power-law exponent",
        ]
        assert shown.texts(".findings h3") == ["bad", "late"]  # the worst first
        assert "near collapse since step-10" in shown.texts(".findings p")[0]
        lines = shown.page.locator("#figures figure").first.locator("path.line").count()
        assert lines == 2 * 3  # and their samples in the legend
        links = shown.page.locator("table.plain th a").evaluate_all("x => x.map(a => a.href)")
        assert links[0].endswith("/checkpoints/step-0/report.html")


def test_a_layer_opens_by_keyboard(browser: Any, page: Path) -> None:
    with opened(browser, page) as shown:
        button = shown.page.locator("#layers button.open", has_text="bad")
        button.focus()
        shown.page.keyboard.press("Enter")
        assert shown.texts("tr.detail p")[:2] == [
            "full rank from step-0 on; near collapse from step-10 on; collapsed from step-200 on.",
            "At last: dead.",
        ]
        assert shown.page.locator("tr.detail figure").count() == 7
        shown.page.keyboard.press("Enter")
        assert shown.page.locator("tr.detail").count() == 0


def test_columns_sort(browser: Any, page: Path) -> None:
    with opened(browser, page) as shown:
        names = "#layers tbody th button"
        shown.page.locator("#layers thead button", has_text="σ_min / noise").click()
        assert shown.texts(names) == ["bad", "late", "good"]
        shown.page.locator("#layers thead button", has_text="σ_min / noise").click()
        assert shown.texts(names) == ["good", "late", "bad"]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 375)])
def test_for_everyone(browser: Any, page: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    with opened(browser, page, width, color_scheme=scheme) as shown:
        shown.page.locator("#layers button.open", has_text="bad").click()
        found = axe.Axe().run(shown.page).response
        assert found["violations"] == []
        assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_names_stay_text(browser: Any, tmp_path: Path) -> None:
    path = write_series_html(report(tuple(ODD_NAMES)), tmp_path / "series.html")
    with opened(browser, path) as shown:
        assert shown.page.locator("#layers tbody tr").count() == len(ODD_NAMES)
        assert shown.page.evaluate("typeof hacked") == "undefined"
