"""The documentation site: it builds strictly, loads nothing from elsewhere, and leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.browser import Opened, chromium, new_context
from tests.support.commands import ROOT
from tests.support.site import build, parts, served

pytest.importorskip("mkdocs")
pytest.importorskip("material")
from scripts.site import hooks

pytestmark = pytest.mark.newest_python
# The first page, and those with a lesson, a wide table, and docstrings.
PAGES = (
    "index.html",
    "tutorial/collapsed.html",
    "reference/formats.html",
    "reference/python.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = build(directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def test_a_dead_link_a_dead_anchor_and_a_lost_page_are_errors(tmp_path: Path) -> None:
    documents, config = tmp_path / "docs", tmp_path / "mkdocs.yml"
    documents.mkdir()
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    (rules,) = re.findall(r"^validation:\n(?:  .*\n)+", settings, re.MULTILINE)
    config.write_text(f"site_name: x\n{rules}nav: [index.md]\n")
    for text, code in (("# A", 0), ("[a](b.md)", 1), ("[a](#b)", 1)):
        (documents / "index.md").write_text(text)
        assert build(tmp_path / "built", "-f", str(config)).returncode == code, text
    (documents / "index.md").write_text("# A")
    (documents / "lost.md").write_text("# B")
    assert build(tmp_path / "built", "-f", str(config)).returncode == 1


def test_every_document_is_a_page(site: Path) -> None:
    sources = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert {path.with_suffix(".html") for path in sources} <= built
    assert {Path(page).with_suffix(".html") for page in hooks.PAGES.values()} <= built
    for schema in ("report", "compare", "zoo"):
        assert (site / "reference" / "schemas" / f"{schema}.schema.json").is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = parts(page).loaded
        assert len(loaded) >= 3
        for source in loaded:
            assert not urlsplit(source).netloc and not source.startswith("//"), (page, source)
            if page.name != "404.html" and not source.startswith("data:"):
                assert (page.parent / unquote(urlsplit(source).path)).is_file(), (page, source)
    for style in site.rglob("*.css"):
        unquoted = style.read_text("utf-8").replace("'", "").replace(chr(34), "")
        found = re.findall(r"@import[^;]*|url\((?!data:)[^)]*\)", unquoted)
        assert [x for x in found if "//" in x] == []


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    pages = {page: parts(page) for page in site.rglob("*.html") if page.name != "404.html"}
    checked = 0
    for page, found in pages.items():
        for link in found.links:
            to = urlsplit(link)
            if to.scheme or to.netloc:
                assert to.scheme in ("https", "mailto"), (page, link)
                continue
            target = (page.parent / unquote(to.path)).resolve() if to.path else page
            if target.is_dir():
                target /= "index.html"
            assert target.exists(), (page, link)
            if to.fragment and target in pages:
                assert unquote(to.fragment) in pages[target].anchors, (page, link)
                checked += 1
    assert checked > 200


def test_links_to_files_of_the_checkout_become_pages_of_the_site() -> None:
    text = "[a](../../SECURITY.md#bounds) [b](../../examples/rank_monitor) [c](metrics.md) [d](#e)"
    assert hooks.with_links(text, "reference/cli.md") == (
        "[a](../explanation/security.md#bounds) [b](../how-to/examples.md) [c](metrics.md) [d](#e)"
    )
    schema = "[a](../../allennlp_analyze/data/schemas/zoo.schema.json) [b](https://example.org/a)"
    assert hooks.with_links(schema, "reference/reports.md") == (
        "[a](schemas/zoo.schema.json) [b](https://example.org/a)"
    )
    assert hooks.with_links("[a](docs/explanation/house.md)", "contributing.md") == (
        "[a](explanation/house.md)"
    )


def opened(browser: Any, address: str, **options: Any) -> Opened:
    page = new_context(browser, **options).new_page()
    found = Opened(page)
    page.goto(address, wait_until="networkidle")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_no_fault_that_axe_finds_and_fit_a_phone(
    site: Path, browser: Any, page: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    with served(site) as address:
        found = opened(browser, address + page, color_scheme="light")
        for scheme in ("light", "dark")[: 1 + (page == PAGES[2])]:
            if scheme == "dark":
                found.page.emulate_media(color_scheme=scheme)
                found.page.reload(wait_until="networkidle")
            result = axe.Axe().run(found.page)
            assert result.violations_count == 0, result.generate_report()
        assert found.errors == []
        assert {urlsplit(url).netloc for url in found.requests} == {urlsplit(address).netloc}
        found.page.set_viewport_size({"width": 390, "height": 844})
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_search_finds_a_word(site: Path, browser: Any) -> None:
    with served(site) as address:
        found = opened(browser, address, viewport={"width": 1280, "height": 900})
        said = found.page.locator(".md-search-result__meta")
        # The index is there; from now on it hears keys, and no text that appears without any.
        said.filter(has_text="Type to start searching").wait_for(state="attached")
        found.page.locator(".md-search__input").press_sequentially("LayerNorm blindness")
        found.page.locator(".md-search-result__item a[href*='verdict.html']").first.wait_for()
        assert found.errors == []
