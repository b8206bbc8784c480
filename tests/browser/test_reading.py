"""report.html in a real browser: findings, figures, links to layers, the keyboard, a phone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import analyze
from allennlp_analyze.analysis.summary import summarize
from allennlp_analyze.reports.html.experts import PAGE_ROWS
from allennlp_analyze.reports.html.model import write_html
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.text.names import printable
from tests.browser.test_page import head
from tests.support.browser import Opened, opened
from tests.support.page_reports import many_layers
from tests.support.report_factory import ODD_NAMES, make_report


def test_an_adapter_alone_has_no_empty_tables(browser: Any, tmp_path: Path) -> None:
    name = f"base_model.{'model.' * 6}layers.0.self_attn.q_proj"
    factors = {f"{name}.lora_A.weight": (8, 30), f"{name}.lora_B.weight": (20, 8)}
    rng = np.random.default_rng(0)
    report = analyze({key: rng.standard_normal(shape) for key, shape in factors.items()})
    path = write_html(report, tmp_path / "report.html")
    with opened(browser, path, 375) as found:
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 375
        assert found.page.get_by_role("link").all_text_contents() == [
            "Skip to the results",
            "Findings",
            "Skipped",
            "How",
        ]
        titles = found.page.locator("h2:visible").all_text_contents()
        assert titles == ["Findings", "Skipped tensors", "What was analyzed, and how"]
        assert name in found.texts(".findings strong")


def test_what_is_found_comes_first_and_has_its_evidence(page: Opened, report: ModelReport) -> None:
    titles = [text.strip() for text in page.page.locator("h2").all_text_contents()]
    assert titles[0] == "Findings"
    note = page.page.locator(".findings > li").nth(1)
    names = note.locator(".evidence a").all_text_contents()
    assert names == ["tiny", "all zeros", "encoder.collapsed"]
    bars = note.locator(".lost span").evaluate_all(
        "bars => bars.map(bar => bar.clientWidth / bar.parentElement.clientWidth)"
    )
    assert bars == pytest.approx([1, 1, report.layers[0].lost_percent / 100], abs=0.01)


def test_the_address_follows_what_is_opened(page: Opened, path: Path) -> None:
    def fragment() -> str:
        return str(page.page.evaluate("location.hash"))

    button = page.page.locator("tr[data-index='0'] button.open")
    button.click()
    assert fragment() == "#layer-encoder.collapsed"
    page.page.locator("tr[data-index='2'] button.open").click()
    assert fragment() == "#layer-orthogonal~20of~2017"
    button.click()
    assert fragment() == "#layer-orthogonal~20of~2017"
    page.page.locator("tr[data-index='2'] button.open").click()
    assert fragment() == ""


def test_a_link_survives_another_run(browser: Any, tmp_path: Path, report: ModelReport) -> None:
    """The same address leads to the same layer among others, whatever its name."""
    others = replace(report, layers=report.layers[:2] + report.layers[:1:-1])
    first, second = (write_html(x, tmp_path / f"{i}.html") for i, x in enumerate((report, others)))
    names = [layer.name for layer in report.layers]
    fragments = {}
    with opened(browser, first) as page:
        for name in ("near", "<script>alert(1)</script>", "couche_é_层_😀", ODD_NAMES[8], ""):
            page.page.locator(f"tr[data-index='{names.index(name)}'] button.open").click()
            fragments[name] = page.page.evaluate("location.hash")
    with opened(browser, second) as page:
        for name, fragment in fragments.items():
            page.page.goto("about:blank")
            page.page.goto(f"{second.as_uri()}{fragment}")
            page.page.wait_for_function(
                "name => document.activeElement.title === name", arg=printable(name)
            )
            assert page.page.locator("tr.detail").count() == 1
        page.requests[1:] = []


def test_the_contents_stay_and_lead_to_every_part(page: Opened) -> None:
    links = page.page.get_by_role("navigation", name="Contents").get_by_role("link")
    assert links.count() == 8
    for link in links.all():
        link.click()
        section = page.page.locator(link.get_attribute("href"))
        box, contents = section.bounding_box(), page.page.locator(".contents").bounding_box()
        assert contents["y"] == pytest.approx(0, abs=1)
        assert -1 <= box["y"] < 900
    page.page.locator(".contents [aria-current]").wait_for()


def test_the_lost_directions_are_shaded(page: Opened, report: ModelReport) -> None:
    layer = report.layers[0]
    page.page.locator("tr[data-index='0'] button.open").click()
    chart = page.page.locator("tr.detail svg.chart").first
    assert "40 lost of 60 directions" in page.page.locator("tr.detail .legend").first.inner_text()
    box = chart.evaluate(
        """svg => { const of = part => svg.querySelector(part).getBoundingClientRect();
        const band = of("rect.band"), line = of("path.line.blue");
        return [band.left, band.right, line.left, line.right]; }"""
    )
    start, end, first, last = box
    per_index = (last - first) / (layer.M - 1)
    lost_from = layer.M - layer.lost_directions + 0.5
    assert start == pytest.approx(first + (lost_from - 1) * per_index, abs=2)
    assert end == pytest.approx(last, abs=per_index)
    page.page.locator("tr[data-index='1'] button.open").click()
    assert page.page.locator("tr[data-index='1'] + tr rect.band").count() == 0


def test_dots_at_one_ratio_do_not_cover_each_other(page: Opened, report: ModelReport) -> None:
    dots = page.page.locator("#figures svg circle.opens").evaluate_all(
        "dots => dots.map(dot => [Number(dot.getAttribute('cx')), Number(dot.getAttribute('cy'))])"
    )
    assert len(dots) == sum(layer.power_law is not None for layer in report.layers)
    for i, one in enumerate(dots):
        for other in dots[:i]:
            assert np.hypot(one[0] - other[0], one[1] - other[1]) >= 7.9


def test_the_keyboard_opens_dots_and_reads_values(page: Opened, report: ModelReport) -> None:
    dot = page.page.locator("#figures circle.opens[tabindex='0']")
    assert dot.count() == 1
    dot.focus()
    page.page.keyboard.press("ArrowRight")
    title = page.page.evaluate("document.activeElement.textContent")
    page.page.keyboard.press("Enter")
    name = page.page.evaluate("document.activeElement.title")
    assert title.startswith(f"{name}: Q = ")
    slider = page.page.locator("tr.detail").get_by_role("slider")
    slider.focus()
    page.page.keyboard.press("End")
    layer = next(x for x in report.layers if printable(x.name) == name)
    said = slider.get_attribute("aria-valuetext")
    assert said.startswith(f"σ at i = {layer.M}: ")
    assert float(said.split(": ")[1]) == pytest.approx(layer.min_singular_value, rel=0.01)


def test_no_empty_chart(browser: Any, tmp_path: Path) -> None:
    path = write_html(make_report(summary=summarize((), ()), skipped=()), tmp_path / "r.html")
    with opened(browser, path) as found:
        assert found.page.locator("figure:visible").count() == 0
        assert not found.page.locator("#glance").is_visible()
        assert not found.page.get_by_role("link", name="Figures").is_visible()


def test_many_layers_are_shown_page_by_page(browser: Any, tmp_path: Path) -> None:
    path = write_html(many_layers(PAGE_ROWS + 3, 30, 12), tmp_path / "report.html")
    last = f"encoder.layers.{PAGE_ROWS + 2}.self_attention.query_projection_layer"
    with opened(browser, path) as found:
        visible = found.page.locator("#layers tbody tr:visible")
        assert visible.count() == PAGE_ROWS
        found.page.get_by_role("button", name="Next").press("Enter")
        assert visible.count() == 3
        assert f"{PAGE_ROWS + 1} to {PAGE_ROWS + 3} of {PAGE_ROWS + 3}" in found.texts("#place")
        found.page.get_by_role("button", name="Previous").press("Enter")
        assert visible.count() == PAGE_ROWS
        found.page.goto(f"{path.as_uri()}#layer-{last}")
        found.page.locator("tr.detail").wait_for()
        assert found.page.evaluate("document.activeElement.title") == last
        found.page.get_by_label("Name", exact=True).fill("layers.7.")
        assert visible.count() == 1
        assert not found.page.locator("#pages").is_visible()
        found.requests[1:] = []
    with opened(browser, path, java_script_enabled=False) as found:
        assert found.page.locator("#layers tbody tr:visible").count() == PAGE_ROWS + 3


def test_a_phone_clips_nothing(browser: Any, path: Path) -> None:
    with opened(browser, path, 375) as found:
        found.page.locator("tr[data-index='0'] button.open").click()
        table = found.page.locator("#layers")
        assert table.evaluate("table => table.parentElement.scrollWidth") <= 375 - 2 * 16
        mark = found.page.locator("tr[data-index='8'] .mark")
        assert mark.inner_text() == "near collapse"
        assert mark.evaluate("mark => parseFloat(getComputedStyle(mark).fontSize)") >= 11
        outside = found.page.evaluate(
            """() => [...document.querySelectorAll("main *, header *, nav *")].filter(node => {
                const box = node.getBoundingClientRect();
                return box.width && !node.closest("#reference, .unseen, option")
                    && (box.right > innerWidth || box.left < 0);
            }).map(node => node.outerHTML.slice(0, 120))"""
        )
        assert outside == []
        cut = found.page.locator("svg.chart text").evaluate_all(
            """texts => texts.filter(text => {
                const box = text.getBoundingClientRect();
                const all = text.ownerSVGElement.getBoundingClientRect();
                return box.left < all.left - 1 || box.right > all.right + 1
                    || box.top < all.top - 1 || box.bottom > all.bottom + 1;
            }).map(text => text.textContent)"""
        )
        assert cut == []


def test_headings_show_that_they_sort(page: Opened) -> None:
    arrow = "button => getComputedStyle(button, '::after').content"
    button = head(page, "σ_min").get_by_role("button")
    assert "↕" in button.evaluate(arrow)
    button.click()
    assert "▲" in button.evaluate(arrow)
    button.click()
    assert "▼" in button.evaluate(arrow)
