"""Experts on report.html in a real browser: one row for each projection, which opens."""

import re
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import Report
from allennlp_analyze.reports.html.model import write_html
from allennlp_analyze.reports.html.shown import shown_layers
from allennlp_analyze.results.experts import expert_groups
from tests.browser.test_page import head, shown
from tests.support.browser import Opened, opened
from tests.support.mixtures import COLLAPSED, DEAD, EXPERTS, blocks, mixture

GATE = "tr.group[data-group='0']"


@pytest.fixture(scope="module")
def report() -> Report:
    return mixture()


def plain(report: Report) -> "list[int]":
    grouped = {place for group in report.expert_groups for place in group.places}
    return [index for index in range(len(report.layers)) if index not in grouped]


def test_closed_at_first_and_opened_by_a_click(page: Opened, report: Report) -> None:
    assert shown(page) == plain(report)
    assert page.page.locator("tr.group:visible").count() == len(report.expert_groups)
    assert page.page.locator("#count").text_content() == f"{len(report.layers)} layers"
    group = report.expert_groups[0]
    button = page.page.locator(f"{GATE} button.open")
    assert f"1 dead: {DEAD}; 1 collapsed: {COLLAPSED}" in page.texts(f"{GATE} th")[0]
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    members = [
        int(x)
        for x in page.page.locator(f"{GATE} ~ tr[data-member='0']:visible").evaluate_all(
            "rows => rows.map(row => row.dataset.index)"
        )
    ]
    assert members == list(group.places)  # the worst first
    assert group.numbers[:2] == (DEAD, COLLAPSED)
    button.click()
    assert button.get_attribute("aria-expanded") == "false"
    assert shown(page) == plain(report)


def test_the_keyboard_opens_a_group_and_an_expert(page: Opened, report: Report) -> None:
    page.page.locator(f"{GATE} button.open").focus()
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Space")
    worst = report.expert_groups[0].places[0]
    assert page.page.evaluate("document.activeElement.title") == report.layers[worst].name
    assert page.page.locator(f"tr[data-index='{worst}'] + tr.detail").is_visible()
    page.page.locator(f"{GATE} button.open").click()
    assert not page.page.locator(f"tr[data-index='{worst}'] + tr.detail").is_visible()


@pytest.mark.parametrize("label", ["σ_min", "verdict"])
def test_a_sorted_group_keeps_its_experts(page: Opened, report: Report, label: str) -> None:
    group = report.expert_groups[0]
    page.page.locator(f"{GATE} button.open").click()
    for descending in (False, True):
        head(page, label).get_by_role("button").click()
        order = page.page.locator("#layers tbody tr").evaluate_all(
            "rows => rows.map(row => row.dataset.member ?? 'top')"
        )
        place = page.page.locator("#layers tbody tr").evaluate_all(
            "rows => rows.findIndex(row => row.dataset.group === '0')"
        )
        assert order[place + 1 : place + 1 + EXPERTS] == ["0"] * EXPERTS
        if label == "σ_min":
            values = [report.layers[i].min_singular_value for i in shown(page) if i in group.places]
            assert values == sorted(values, reverse=descending) and len(values) == EXPERTS
        tops = page.page.locator("#layers tbody tr:not(.member)").evaluate_all(
            "rows => rows.map(row => row.dataset.group ?? 'x' + row.dataset.index)"
        )
        keys = {
            "σ_min": lambda layer: layer.min_singular_value,
            "verdict": lambda layer: layer.verdict != "collapsed",
        }[label]
        worsts = [
            keys(report.layers[int(x[1:])] if x[0] == "x" else report.expert_groups[int(x)].worst)
            for x in tops
        ]
        assert worsts == sorted(worsts, reverse=descending)


def test_a_filter_opens_the_groups_that_have_matches(page: Opened, report: Report) -> None:
    group = report.expert_groups[0]
    page.page.get_by_label("Verdict").select_option("collapsed")
    assert shown(page) == list(group.places[:2])
    assert page.page.locator("tr.group:visible").count() == 1
    assert page.page.locator("#count").text_content() == f"2 of {len(report.layers)} layers"
    page.page.get_by_role("button", name="Show all").click()
    page.page.locator(f"{GATE} button[aria-expanded=false]").wait_for()
    assert shown(page) == plain(report)
    page.page.get_by_label("Name", exact=True).fill("experts.*.gate")
    assert sorted(shown(page)) == sorted(group.places)


def test_a_link_opens_the_group_of_its_layer(page: Opened, report: Report) -> None:
    worst = report.expert_groups[0].places[0]
    page.page.get_by_role("link", name="experts.*.gate_proj").first.click()
    page.page.locator(f"tr[data-index='{worst}'] + tr.detail").wait_for()
    assert page.page.locator(f"tr[data-index='{worst}']").is_visible()


def test_without_javascript_every_expert_is_there(browser: Any, path: Path, report: Report) -> None:
    with opened(browser, path, java_script_enabled=False) as found:
        visible = found.page.locator("#layers tbody tr[data-index]:visible")
        assert visible.count() == len(report.layers)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_accessible_and_no_wider_than_the_window(
    browser: Any, path: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    with opened(browser, path, width, color_scheme=scheme) as found:
        found.page.locator(f"{GATE} button.open").click()
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        result = axe.Axe().run(found.page)
        problems = [
            (p["id"], n["html"][:200]) for p in result.response["violations"] for n in p["nodes"]
        ]
        assert problems == []


def test_a_page_of_very_many_layers_has_the_worst_and_figures_of_all(
    browser: Any, tmp_path: Path
) -> None:
    report = blocks(6)
    most, total = 40, len(report.layers)
    path = write_html(report, tmp_path / "report.html", most)
    places = list(shown_layers(report.layers, most).numbers)
    with opened(browser, path) as found:
        assert found.texts("#count") == [f"{most} of {total} layers"]
        legend = found.page.locator("#figures figure").first.locator(".legend li")
        numbers = re.findall(r"\((\d+)\)", " ".join(legend.all_text_contents()))
        assert sum(map(int, numbers)) == total
        # A dot opens its layer; that of a layer which is not on the page cannot.
        dots = found.page.locator("#figures figure").nth(2).locator("svg.chart circle")
        every = [x for x in report.layers if x.power_law]
        assert dots.count() == len(every)
        titles = dots.locator("title").all_text_contents()
        names = {report.layers[place].name for place in places if report.layers[place].power_law}
        assert {title.partition(": Q")[0] for title in titles} == names
        assert dots.and_(found.page.locator(".opens")).count() == len(titles) == len(names)
        dots.last.dispatch_event("click")
        head(found, "kind").click()  # all the same: the order of the model
        names = found.texts("#layers tr.group button.open")
        assert names == [x.name for x in expert_groups(report.layers)]
        number = places[-2]
        found.page.goto(f"{path.as_uri()}#row-{number}")
        found.page.locator("tr.detail").wait_for()
        title = found.page.evaluate("document.activeElement.title")
        assert title == report.layers[number].name
        # Of a layer that is not on the page, the address leads to what is said of the table.
        absent = next(place for place in range(total) if place not in places)
        found.page.goto("about:blank")
        found.page.goto(f"{path.as_uri()}#row-{absent}")
        found.page.wait_for_function("scrollY > 0")
        assert found.page.get_by_text(f"This page has {most} of the").is_visible()
        assert found.page.locator("tr.detail").count() == 0
        found.requests[1:] = []
