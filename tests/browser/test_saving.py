"""What a reader takes from report.html in a real browser: CSV, JSON and SVG as the run has them."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from allennlp_analyze.reports.csv import write_csv
from allennlp_analyze.reports.html.model import write_html
from allennlp_analyze.reports.json import write_json
from allennlp_analyze.results.layer import ModelReport
from tests.browser.test_page import head, in_order
from tests.support.browser import Opened, opened
from tests.support.mixtures import mixture
from tests.support.page_reports import edge_cases

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def report() -> ModelReport:
    return edge_cases()


@pytest.fixture(scope="module")
def folder(report: ModelReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(report, tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(browser: Any, folder: Path) -> Iterator[Opened]:
    with opened(browser, folder / "report.html", color_scheme="dark") as found:
        yield found


def written(report: ModelReport, folder: Path) -> Path:
    write_html(report, folder / "report.html")
    write_csv(report, folder / "layers.csv")
    write_json(report, folder / "report.json")
    return folder


def downloaded(page: Opened, button: Any) -> Any:
    with page.page.expect_download() as download:
        button.click()
    # Chromium reads the page's own memory, which is no request to anywhere.
    page.requests[:] = [url for url in page.requests if not url.startswith("blob:")]
    return download.value


def csv_of(page: Opened) -> "list[dict[str, str]]":
    found = downloaded(page, page.page.get_by_role("button", name="Download CSV"))
    assert found.suggested_filename == "layers.csv"
    text = Path(found.path()).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def csv_in(folder: Path) -> "list[dict[str, str]]":
    with (folder / "layers.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def same(found: "list[dict[str, str]]", expected: "list[dict[str, str]]") -> None:
    assert [list(row) for row in found] == [list(row) for row in expected]
    for ours, theirs in zip(found, expected):
        for column, value in theirs.items():
            try:
                assert float(ours[column]) == float(value), column
            except ValueError:
                assert ours[column] == value, column


def test_the_csv_is_that_of_the_run(page: Opened, folder: Path) -> None:
    same(csv_of(page), csv_in(folder))


def test_the_csv_has_what_the_filters_leave_in_its_order(
    page: Opened, folder: Path, report: ModelReport
) -> None:
    page.page.get_by_label("Kind").select_option("linear")
    head(page, "σ_min").get_by_role("button").click()
    order = in_order([layer.min_singular_value for layer in report.layers])
    rows = csv_in(folder)
    same(csv_of(page), [rows[i] for i in order if report.layers[i].kind == "linear"])


def test_the_csv_of_experts_names_their_groups(browser: Any, tmp_path: Path) -> None:
    written(mixture(), tmp_path)
    with opened(browser, tmp_path / "report.html") as found:
        ours = {row["name"]: row for row in csv_of(found)}
    rows = csv_in(tmp_path)
    assert any(row["expert_group"] for row in rows)
    same([ours[row["name"]] for row in rows], rows)


@pytest.mark.parametrize("index", [0, 4, 20])
def test_a_copied_layer_is_its_entry_in_report_json(browser: Any, folder: Path, index: int) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with opened(browser, folder / "report.html", permissions=allowed) as found:
        found.page.locator(f"tr[data-index='{index}'] button.open").click()
        detail = found.page.locator("tr.detail")
        detail.get_by_role("button", name="Copy as JSON").click()
        detail.get_by_text("Copied.").wait_for()
        copied = found.page.evaluate("navigator.clipboard.readText()")
    entry = json.loads((folder / "report.json").read_text(encoding="utf-8"))["layers"][index]
    assert without_surrogates(json.loads(copied)) == without_surrogates(entry)
    assert list(json.loads(copied)) == list(entry)


def without_surrogates(value: Any) -> Any:
    """No clipboard holds half of a pair."""
    text = json.dumps(value).replace("\\ud800", "\\ufffd")
    return json.loads(text)


def test_a_saved_figure_stands_alone_and_is_for_paper(page: Opened, folder: Path) -> None:
    """From a dark page, too: with its own colours, its title and its legend."""
    page.page.locator("tr[data-index='0'] button.open").click()
    figure = page.page.locator("tr.detail figure").first
    found = downloaded(page, figure.get_by_role("button", name="Save as SVG"))
    assert found.suggested_filename == "encoder.collapsed-values.svg"
    text = Path(found.path()).read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg" and "var(" not in text and "class=" not in text
    words = [node.text for node in root.iter(f"{SVG}text")]
    assert words[0] == "Singular values"
    for item in figure.locator(".legend li").all_text_contents():
        assert item in words
    colours = {node.get("fill") for node in root.iter(f"{SVG}text")}
    assert colours == {"rgb(27, 31, 36)"}  # the text of the light page
    assert next(root.iter(f"{SVG}rect")).get("fill") == "#ffffff"
    # Rendered alone, nothing is outside.
    other = page.page.context.new_page()
    other.set_content(text)
    outside = other.evaluate(
        """() => { const all = document.querySelector("svg").getBoundingClientRect();
        return [...document.querySelectorAll("text")].filter(text => {
            const box = text.getBoundingClientRect();
            return box.right > all.right + 1 || box.left < all.left - 1
                || box.bottom > all.bottom + 1;
        }).map(text => text.textContent); }"""
    )
    assert outside == []
    other.close()


def test_every_figure_can_be_saved(page: Opened) -> None:
    page.page.locator("tr[data-index='1'] button.open").click()
    figures = page.page.locator("figure")
    assert figures.count() == 6
    names = {
        downloaded(page, button).suggested_filename
        for button in page.page.get_by_role("button", name="Save as SVG").all()
    }
    assert len(names) == 6
