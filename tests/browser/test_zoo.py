"""A zoo's page in a real browser: sorts, filters, turns pages, leads to the models' reports."""

import re
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.reports.html import PAGE_ROWS, write_zoo_html
from allennlp_analyze.zoo.results import ZooReport
from tests.support.browser import Opened, opened
from tests.support.report_factory import ODD_NAMES
from tests.support.zoo_pages import every_state, hostile_names, many

STATES = every_state()
MANY = many(2 * PAGE_ROWS + 50, groups=210)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo_html(STATES, tmp_path_factory.mktemp("zoo") / "index.html")


@pytest.fixture(scope="module")
def many_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo_html(MANY, tmp_path_factory.mktemp("many") / "index.html")


def names(page: Opened) -> "list[str]":
    """The models that the table shows, from top to bottom."""
    texts = page.page.locator("#models tbody th").evaluate_all(
        "heads => heads.map(head => head.firstChild.textContent)"
    )
    return [str(text) for text in texts]


def head(page: Opened, label: str) -> Any:
    return page.page.locator("#models thead th").filter(
        has_text=re.compile(rf"^\s*{re.escape(label)}\s*$")
    )


def sort(page: Opened, label: str) -> "list[str]":
    head(page, label).get_by_role("button").click()
    return names(page)


def in_order(report: ZooReport, keys: "list[Any]", descending: bool = False) -> "list[str]":
    known = [i for i, key in enumerate(keys) if key is not None]
    # sorted is stable, also in reverse: equal ones stay in the manifest's order.
    places = sorted(known, key=lambda i: keys[i], reverse=descending)
    places += [i for i, key in enumerate(keys) if key is None]
    return [report.models[i].name for i in places]


@pytest.mark.parametrize("make", [lambda: STATES, hostile_names, lambda: many(9)])
def test_with_and_without_javascript_the_rows_are_the_same(
    browser: Any, make: Any, tmp_path: Path
) -> None:
    path = write_zoo_html(make(), tmp_path / "index.html")
    found = []
    for enabled in (True, False):
        with opened(browser, path, java_script_enabled=enabled) as page:
            assert page.page.locator("noscript").count() == 1
            rows = page.page.locator("#models tbody tr")
            html = rows.evaluate_all("rows => rows.map(row => row.innerHTML)")
            found.append([re.sub(r"\s+", " ", row).strip() for row in html])
    assert len(found[0]) == len(make().models)
    assert found[0] == found[1]


def test_columns_sort(browser: Any, states: Path) -> None:
    summaries = [m.outcome.summary for m in STATES.models]
    with opened(browser, states) as page:
        worst = ["broken", "invalid", "collapsed", "near", "healthy", "small", "square", "again"]
        assert names(page) == worst
        for label, keys in {
            "σ_min": [s and s.min_singular_value for s in summaries],
            "α": [s and s.median_alpha for s in summaries],
            "lost": [s and s.max_rank_loss_percent for s in summaries],
            "layers": [s and s.n_layers for s in summaries],
            "in layer": [s and s.min_singular_value_layer for s in summaries],
            "model": [m.name.lower() for m in STATES.models],
            "group": [m.group for m in STATES.models],
        }.items():
            assert sort(page, label) == in_order(STATES, keys)
            assert head(page, label).get_attribute("aria-sort") == "ascending"
            assert sort(page, label) == in_order(STATES, keys, descending=True)
            assert page.page.locator("#models thead th:not([aria-sort=none])").count() == 1
        assert sort(page, "verdict") == worst


def test_filters(browser: Any, states: Path) -> None:
    with opened(browser, states) as page:
        count = page.page.locator("#count")
        page.page.locator("#filter-group").select_option(label="two (4)")
        assert names(page) == ["broken", "collapsed", "small", "square"]
        assert count.text_content() == "4 of 8 models"
        sort(page, "σ_min")
        assert names(page) == ["collapsed", "small", "square", "broken"]
        page.page.locator("#filter-state").select_option(label="failed (1)")
        assert names(page) == ["broken"]
        page.page.get_by_role("button", name="Show all").click()
        page.page.locator("#models tbody tr").nth(7).wait_for()
        page.page.locator("#filter-state").select_option(label="duplicate (1)")
        assert names(page) == ["again"]
        page.page.locator("#filter-state").select_option("")
        page.page.get_by_label("Name", exact=True).fill("EA")
        assert set(names(page)) == {"healthy", "near"}
        page.page.get_by_label("Name", exact=True).fill("no such name")
        assert names(page) == [] and count.text_content() == "0 of 8 models"


def test_pages_turn_by_keyboard(browser: Any, many_path: Path) -> None:
    manifest = [m.name for m in MANY.models]
    lost = [round_to_4(m.outcome.lost_percent) for m in MANY.models]
    severity = [m.outcome.summary.verdict.severity for m in MANY.models]
    none_last = [[-1 if x is None else x for x in of] for of in (severity, lost)]
    order = sorted(range(len(lost)), key=lambda i: [-of[i] for of in none_last])
    everything = [manifest[i] for i in order]
    with opened(browser, many_path) as page:
        place = page.page.locator("#place")
        assert names(page) == everything[:PAGE_ROWS]
        assert place.text_content() == "1 to 200 of 450 models"
        page.page.get_by_role("button", name="Previous").press("Enter")
        assert names(page) == everything[:PAGE_ROWS]
        following = page.page.get_by_role("button", name="Next")
        following.focus()
        for _ in range(3):
            page.page.keyboard.press("Enter")
        assert names(page) == everything[2 * PAGE_ROWS :]
        assert place.text_content() == "401 to 450 of 450 models"
        assert page.page.evaluate("document.activeElement.id") == "next"
        # Sorting and filtering are over all of them, and begin at the first page.
        sigmas = [round_to_4(m.outcome.summary.min_singular_value) for m in MANY.models]
        assert sort(page, "σ_min") == in_order(MANY, sigmas)[:PAGE_ROWS]
        page.page.get_by_label("Name", exact=True).fill("model-00004")
        assert sorted(names(page)) == manifest[40:50]
        assert not page.page.locator("#pages").is_visible()
        page.page.get_by_label("Name", exact=True).fill("")
        page.page.locator("#filter-group").select_option(label="other groups (20)")
        others = {m.name for m in MANY.models if m.group in MANY.groups[200:]}
        assert set(names(page)) == others and len(others) == 20


def round_to_4(value: "float | None") -> "float | None":
    return None if value is None else float(f"{value:.4g}")


def test_names_and_points_lead_to_the_reports(browser: Any, tmp_path: Path) -> None:
    path = write_zoo_html(STATES, tmp_path / "index.html")
    for model in STATES.models:
        report = tmp_path / model.directory / "report.html"
        report.parent.mkdir(parents=True)
        report.write_text(f"<title>{model.name}</title><link rel=icon href='data:,'>")
    with opened(browser, path) as page:
        page.page.get_by_role("link", name="collapsed", exact=True).click()
        page.page.wait_for_url(re.compile(r"report\.html"))
        assert page.page.title() == "collapsed"
        page.page.go_back()
        page.page.locator("circle.opens", has_text="near: layer").dispatch_event("click")
        page.page.wait_for_url(re.compile(r"report\.html#row-0$"))
        assert page.page.title() == "near"
        page.requests[1:] = []


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_for_everyone(browser: Any, states: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    with opened(browser, states, width, color_scheme=scheme) as page:
        # As where it has several pages, which an axe of 200 rows would take long for.
        page.page.evaluate("document.getElementById('pages').hidden = false")
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page.page).response
        problems = [(p["id"], n["html"][:200]) for p in found["violations"] for n in p["nodes"]]
        assert problems == []
        assert len(found["passes"]) > 20


def test_hostile_names_stay_text(browser: Any, tmp_path: Path) -> None:
    path = write_zoo_html(hostile_names(), tmp_path / "index.html")
    with opened(browser, path, 360) as page:
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.page.locator("script").count() == 2
        shown = names(page)
        assert printable(ODD_NAMES[0]) in shown and "(no name)" in shown
        drawn = (
            page.page.locator("#figures").inner_html() + page.page.locator("#models").inner_html()
        )
        assert "NaN" not in drawn and "undefined" not in drawn
        page.page.get_by_label("Name", exact=True).fill("deep.deep.deep.linear")
        assert len(names(page)) == 1


def test_printed_without_controls(browser: Any, many_path: Path) -> None:
    with opened(browser, many_path) as page:
        page.page.emulate_media(media="print", color_scheme="dark")
        assert not page.page.locator("#filters").is_visible()
        assert not page.page.get_by_role("button", name="Next").is_visible()
        assert page.page.locator("#place").is_visible()
        background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(255, 255, 255)"
