"""report.html in a real browser: sorts, filters, opens layers, asks the network for nothing."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.reports.html.reasons import sentence_of
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.text.names import printable
from tests.support.browser import Opened, opened


def shown(page: Opened) -> list[int]:
    """The indices of the layers that the table shows, from top to bottom."""
    rows = page.page.locator("#layers tbody tr[data-index]:visible")
    return [int(x) for x in rows.evaluate_all("rows => rows.map(row => row.dataset.index)")]


def head(page: Opened, label: str) -> Any:
    return page.page.locator("#layers thead th").filter(
        has_text=re.compile(rf"^\s*{re.escape(label)}\s*$")
    )


def in_order(values: list[Any], descending: bool = False) -> list[int]:
    """Indices of `values`, sorted; what is None at the end; else in the model's order."""
    known = [i for i, value in enumerate(values) if value is not None]
    known.sort(key=lambda i: values[i], reverse=descending)
    if descending:  # a stable order of what is equal
        known.sort(key=lambda i: -values[i])
    return known + [i for i, value in enumerate(values) if value is None]


def test_everything_is_there_in_the_order_of_the_model(page: Opened, report: ModelReport) -> None:
    assert shown(page) == list(range(len(report.layers)))
    assert page.page.locator("#count").text_content() == f"{len(report.layers)} layers"
    assert page.page.title().startswith("Invalid")
    assert len(page.texts("#figures figure")) == 3


def test_numbers_sort_as_numbers(page: Opened, report: ModelReport) -> None:
    fits = [layer.power_law for layer in report.layers]
    columns: dict[str, list[Any]] = {
        "σ_min": [layer.min_singular_value for layer in report.layers],
        "lost": [layer.lost_directions / layer.M for layer in report.layers],
        "α": [fit and fit.alpha for fit in fits],
        "D": [fit and fit.D for fit in fits],
        "Q": [layer.Q for layer in report.layers],
        "N × M": [float(np.prod(layer.shape)) for layer in report.layers],
        "stable rank": [layer.stable_rank for layer in report.layers],
    }
    sorted_heads = page.page.locator("#layers thead th:not([aria-sort=none])")
    for label, values in columns.items():
        head(page, label).get_by_role("button").click()
        assert head(page, label).get_attribute("aria-sort") == "ascending"
        assert shown(page) == in_order(values), label
        head(page, label).get_by_role("button").click()
        assert head(page, label).get_attribute("aria-sort") == "descending"
        assert shown(page) == in_order(values, descending=True), label
        assert sorted_heads.count() == 1


def test_verdicts_sort_from_the_worst(page: Opened, report: ModelReport) -> None:
    head(page, "verdict").get_by_role("button").click()
    order = "collapsed near_collapse dead_units full_rank hidden not_assessed".split()
    found = [order.index(report.layers[i].verdict) for i in shown(page)]
    assert found == sorted(found)


def test_filters(page: Opened, report: ModelReport) -> None:
    count = page.page.locator("#count")
    page.page.get_by_label("Kind").select_option("linear")
    linear = [i for i, layer in enumerate(report.layers) if layer.kind == "linear"]
    assert shown(page) == linear
    assert count.text_content() == f"{len(linear)} of {len(report.layers)} layers"
    page.page.get_by_label("Verdict").select_option("collapsed")
    assert shown(page) == [i for i in linear if report.layers[i].verdict == "collapsed"]
    page.page.get_by_label("Name", exact=True).fill("ENCODER")
    assert shown(page) == [0]
    page.page.get_by_role("button", name="Show all").click()
    page.page.locator("#layers tr[hidden]").first.wait_for(state="detached")
    assert shown(page) == list(range(len(report.layers)))
    page.page.get_by_label("Name", exact=True).fill("<script>")
    assert [report.layers[i].name for i in shown(page)] == ["<script>alert(1)</script>"]
    page.page.get_by_label("Name", exact=True).fill("there is no such name")
    assert shown(page) == []


def test_a_sorted_table_keeps_its_filter_and_what_is_open(page: Opened) -> None:
    page.page.locator("tr[data-index='1'] button.open").click()
    page.page.get_by_label("Kind").select_option("linear")
    head(page, "σ_min").get_by_role("button").click()
    follower = page.page.locator("tr[data-index='1'] + tr")
    assert follower.get_attribute("class") == "detail"
    page.page.get_by_label("Kind").select_option("recurrent")
    assert not follower.is_visible()


def test_every_layer_opens_with_its_spectrum_and_its_numbers(
    page: Opened, report: ModelReport
) -> None:
    for index, layer in enumerate(report.layers):
        if 14 <= index < len(report.layers) - 1:
            continue  # drawn as the one before, under another odd name
        button = page.page.locator(f"tr[data-index='{index}'] button.open")
        button.click()
        assert button.get_attribute("aria-expanded") == "true"
        detail = page.page.locator(f"tr[data-index='{index}'] + tr.detail")
        titles = [text.strip() for text in detail.locator("figcaption").all_text_contents()]
        drawn = detail.locator("svg.chart")
        drawable = 1e-125 < layer.max_singular_value < 1e125
        zero = layer.max_singular_value == 0
        densities = ["Spectral density, log-log", "Spectral density, linear"]
        assert titles == ([] if zero else ["Singular values"]) + (densities if drawable else [])
        assert drawn.count() == len(titles)
        assert ("Not drawn: " in detail.text_content()) == (not drawable)
        assert "NaN" not in detail.inner_html()
        assert "undefined" not in detail.inner_html()
        assert detail.locator("td > :first-child").text_content() == sentence_of(layer)
        facts = dict(
            zip(detail.locator("dt").all_text_contents(), detail.locator("dd").all_text_contents())
        )
        assert facts["full name"] == printable(layer.name)
        assert float(facts["smallest singular value"]) == pytest.approx(
            layer.min_singular_value, rel=1e-3
        )
        if layer.power_law is not None:
            assert float(facts["alpha"]) == pytest.approx(layer.power_law.alpha, rel=1e-3)
        button.click()
        assert button.get_attribute("aria-expanded") == "false"
        assert detail.count() == 0


def test_the_three_tolerances_and_gamma_are_lines_in_the_right_places(
    page: Opened, report: ModelReport
) -> None:
    """Read off the drawing: its ticks give the scale."""
    layer = report.layers[1]
    page.page.locator("tr[data-index='1'] button.open").click()
    chart = page.page.locator("tr[data-index='1'] + tr figure").first.locator("svg.chart")
    scale = chart.evaluate(
        """svg => [...svg.querySelectorAll('text[text-anchor=end]')].map(
            text => [text.textContent, Number(text.getAttribute('y')) - 4])"""
    )
    ticks = {tick_value(text): y for text, y in scale}
    lowest, highest = min(ticks), max(ticks)
    per_decade = (ticks[highest] - ticks[lowest]) / np.log10(highest / lowest)
    lines = chart.evaluate(
        """svg => [...svg.querySelectorAll('g path.line')].map(path => path.getAttribute('d'))"""
    )
    places = [float(d.split()[1].split("H")[0]) for d in lines if "H" in d]
    heights = [lowest * 10 ** ((y - ticks[lowest]) / per_decade) for y in places]
    assert layer.tikhonov is not None and layer.evidence is not None
    expected = [
        layer.tolerance.numpy,
        layer.tolerance.numerical_recipes,
        layer.tolerance.loose,
        layer.tolerance.rounding,
        layer.evidence.limit,
        layer.tikhonov.gamma**0.5,
    ]
    assert heights == pytest.approx(expected, rel=0.05)


def tick_value(text: str) -> float:
    powers = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    factor, _, power = text.rpartition("10") if re.search("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]", text) else (text, "", "")
    if not power:
        return float(text)
    return float(factor.rstrip("·") or 1) * 10.0 ** int(power.translate(powers))


def test_names_stay_text(page: Opened, report: ModelReport) -> None:
    titles = page.page.locator("#layers tbody button.open").evaluate_all(
        "buttons => buttons.map(button => button.title)"
    )
    assert titles == [printable(layer.name) for layer in report.layers]
    page.page.locator("#skipped summary").click()
    assert "<b>bad</b>" in page.texts("#skipped th")
    assert page.page.locator("b").count() == 0
    assert page.page.locator("script").count() == 2


def test_the_keyboard_suffices(page: Opened, report: ModelReport) -> None:
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.className") == "skip"
    header = head(page, "σ_min").get_by_role("button")
    header.focus()
    page.page.keyboard.press("Space")
    values = [layer.min_singular_value for layer in report.layers]
    assert shown(page) == in_order(values)
    page.page.locator("tr[data-index='3'] button.open").focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("tr[data-index='3'] + tr.detail").is_visible()


def test_a_finding_leads_to_its_layer(page: Opened) -> None:
    page.page.get_by_label("Kind").select_option("recurrent")
    page.page.get_by_role("link", name="encoder.collapsed").first.click()
    page.page.locator("tr[data-index='0'] + tr.detail").wait_for()
    assert page.page.evaluate("document.activeElement.title") == "encoder.collapsed"


def test_a_link_from_outside_opens_its_layer(browser: Any, path: Path) -> None:
    with opened(browser, path) as found:
        found.page.goto(f"{path.as_uri()}#layer-orthogonal~20of~2017")
        found.page.locator("tr[data-index='2'] + tr.detail").wait_for()
        # A zoo knows the places of layers; the address becomes that of the name.
        found.page.goto(f"{path.as_uri()}#row-0")
        found.page.locator("tr[data-index='0'] + tr.detail").wait_for()
        assert found.page.evaluate("location.hash") == "#layer-encoder.collapsed"
        found.requests[1:] = []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_that_an_accessibility_checker_finds(browser: Any, path: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    with opened(browser, path, color_scheme=scheme) as found:
        for index in (0, 4, 5):
            found.page.locator(f"tr[data-index='{index}'] button.open").click()
        result = axe.Axe().run(found.page)
        problems = [
            (problem["id"], node["html"][:200])
            for problem in result.response["violations"]
            for node in problem["nodes"]
        ]
        assert problems == []
        assert len(result.response["passes"]) > 20


def test_only_tables_scroll_sideways(page: Opened) -> None:
    page.page.locator("tr[data-index='0'] button.open").click()
    for width in (1280, 768, 360):
        page.page.set_viewport_size({"width": width, "height": 900})
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width


def test_printed_without_controls(page: Opened) -> None:
    page.page.emulate_media(media="print", color_scheme="dark")
    assert not page.page.locator("#filters").is_visible()
    assert page.page.locator("#layers").is_visible()
    background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    assert page.page.pdf().startswith(b"%PDF")


def test_without_javascript_the_numbers_are_there(
    browser: Any, path: Path, report: ModelReport
) -> None:
    with opened(browser, path, java_script_enabled=False) as found:
        assert found.page.locator("#layers tbody tr").count() == len(report.layers)
        assert found.page.locator("noscript").count() == 1
