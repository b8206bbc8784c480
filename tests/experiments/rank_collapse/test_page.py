"""The experiment's page: whole by itself, every number of the experiment, for every reader."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Callable
from xml.etree import ElementTree

import pytest

from allennlp_analyze.errors import OutputError
from allennlp_analyze.text.names import printable
from scripts.rank_collapse import page as page_module
from scripts.rank_collapse.words import sentences
from tests.support.browser import Opened, chromium, opened
from tests.support.commands import ROOT
from tests.support.html_elements import Elements, assert_nothing_outside_is_named, words
from tests.support.rank_collapse_cases import case
from tests.support.report_factory import ODD_NAMES

pytestmark = [pytest.mark.newest_python, pytest.mark.study]


# Writing a page takes a second: those with something of their own.
PAGES = ("sweep", "no network", "every network diverged", "all zeros", "nine networks")


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> "Callable[[str], Path]":
    """The page of a case, written once: each process of pytest needs only some of them."""

    @cache
    def write(name: str) -> Path:
        return page_module.write_page(case(name), tmp_path_factory.mktemp("page") / "index.html")

    return write


@pytest.fixture(scope="module")
def sweep(page_of: "Callable[[str], Path]") -> Path:
    return page_of("sweep")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def written(made: Any, directory: Path) -> str:
    path = page_module.write_page(made, directory / "index.html")
    return str(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_it_is_whole_and_has_every_number(name: str, page_of: "Callable[[str], Path]") -> None:
    made, page = case(name), page_of(name).read_text(encoding="utf-8")
    assert_nothing_outside_is_named(page, ("rank-collapse.json",))
    text = words(page)
    for sentence in sentences(made):
        assert sentence in text
    for key, value in made.about:
        assert key in text and value in text
    for network in made.networks:
        assert f"{100 * network.final.test_accuracy:.1f}%" in text
        for layer in network.final.layers:
            assert f"{layer.lost_directions} of {layer.M}" in text
            assert f"{layer.min_singular_value:.3g}" in text
    assert ("Moore-Penrose inverse, against gamma" in text) == (made.tikhonov is not None)
    for step in () if made.tikhonov is None else made.tikhonov.steps:
        for number in (step.gamma, step.condition, step.kept_distance, step.distance):
            assert number is None or f"{number:.3g}" in text


@pytest.mark.parametrize("name", PAGES)
def test_ids_are_unique_and_refer_to_something(name: str, page_of: "Callable[[str], Path]") -> None:
    page = page_of(name).read_text(encoding="utf-8")
    ids = Counter(attributes["id"] for _, attributes in Elements(page).tags if "id" in attributes)
    assert set(ids.values()) == {1}
    referred = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert set(referred) <= set(ids)
    assert len(referred) > 10 or name == "no network"


def test_a_table_row_for_every_layer() -> None:
    made = case("sweep")
    rows = [row for network in page_module.network_rows(made) for row in network.rows]
    layers = [layer for network in made.networks for layer in network.final.layers]
    assert [row.layer for row in rows] == [layer.name for layer in layers]
    assert [row.verdict for row in rows] == [layer.verdict for layer in layers]


def test_the_figures_are_in_the_colours_of_the_page(sweep: Path) -> None:
    """No colour of its own, which would not change with the reader's scheme."""
    page = sweep.read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 5
    for drawing in drawings:
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", drawing)
        assert "<style" not in drawing and "var(--text)" in drawing
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img" and root[0].tag.endswith("title") and root[0].text
        assert root.get("viewBox") and root.get("width") is None


def test_names_of_colours_are_those_of_the_style(sweep: Path) -> None:
    page = sweep.read_text(encoding="utf-8")
    used = set(re.findall(r"var\((--[a-z]+)\)", page))
    style = page.split("</style>")[0]
    for name in used:
        assert style.count(f"{name}: #") >= 2, "in light and in dark"


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    def page(names: "tuple[str, ...]") -> Any:
        about = tuple((name, name) for name in names)
        odd = replace(case("no network"), about=about, data=names[0])
        return written(odd, tmp_path)

    odd = page(ODD_NAMES)
    plain = page(("digits",) * len(ODD_NAMES))
    assert [tag for tag, _ in Elements(odd).tags] == [tag for tag, _ in Elements(plain).tags]
    for name in ODD_NAMES:
        assert " ".join(printable(name).split()) in words(odd)


def test_links_lead_to_the_document_from_within_the_checkout(tmp_path: Path) -> None:
    outside = page_module.document_links(tmp_path / "index.html")
    assert {link.target for link in outside} == {None}
    within = page_module.document_links(ROOT / "analysis" / "rank-collapse" / "index.html")
    assert [link.label for link in within] == [link.label for link in outside]
    for link in within:
        assert link.target.startswith("../../docs/explanation/rank-collapse.md#")
        assert link.label.startswith("docs/explanation/rank-collapse.md: ")


def test_the_document_has_the_sections() -> None:
    if not page_module.DOCUMENT.is_file():
        pytest.skip("docs/explanation/rank-collapse.md is not written yet")
    document = page_module.DOCUMENT.read_text(encoding="utf-8")
    # As GitHub makes an anchor of a heading.
    anchors = {
        re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
        for line in document.splitlines()
        if line.startswith("#")
    }
    assert {anchor for _, anchor in page_module.SECTIONS} <= anchors


def test_nothing_is_left_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        page_module.write_page(case("no network"), tmp_path / "missing" / "index.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_for_everyone(browser: Any, sweep: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    with opened(browser, sweep, width, color_scheme=scheme) as found:
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        response = axe.Axe().run(found.page).response
        problems = [(p["id"], n["html"][:200]) for p in response["violations"] for n in p["nodes"]]
        assert problems == []
        assert len(response["passes"]) > 20


@pytest.mark.parametrize("name", PAGES[1:])
def test_every_case_opens_on_a_phone(
    browser: Any, name: str, page_of: "Callable[[str], Path]"
) -> None:
    with opened(browser, page_of(name), 360) as found:
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert found.page.locator("svg.drawn").first.bounding_box()["height"] > 50


def test_the_keyboard_scrolls_what_is_wider_than_the_page(browser: Any, sweep: Path) -> None:
    with opened(browser, sweep, 390) as found:
        found.page.keyboard.press("Tab")
        assert found.page.evaluate("document.activeElement.className") == "skip"
        regions = found.page.locator("[role=region]")
        for index in range(regions.count()):
            region = regions.nth(index)
            region.focus()
            found.page.keyboard.press("ArrowRight")
            found.page.wait_for_function("() => document.activeElement.scrollLeft > 0")


def figure_colours(found: Opened) -> "dict[str, str]":
    colours: dict[str, str] = found.page.evaluate(
        """() => {
            const svg = document.querySelector("svg.drawn");
            const of = (selector, key) => getComputedStyle(svg.querySelector(selector))[key];
            return {text: of("text", "fill"), back: of("path", "fill"),
                    page: getComputedStyle(document.body).backgroundColor};
        }"""
    )
    return colours


def test_figures_change_with_the_scheme_and_are_printed_on_white(browser: Any, sweep: Path) -> None:
    with opened(browser, sweep, color_scheme="dark") as found:
        dark = figure_colours(found)
        assert dark["back"] == dark["page"] != "rgb(255, 255, 255)"
        found.page.emulate_media(media="print", color_scheme="dark")
        printed = figure_colours(found)
        assert printed["back"] == printed["page"] == "rgb(255, 255, 255)"
        assert printed["text"] != dark["text"]
        assert found.page.pdf().startswith(b"%PDF")
