"""A page of claims: every text of it escaped, every link safe, every verdict counted."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import OutputError
from allennlp_analyze.zoo.reports.claims import (
    MARKS,
    ClaimSection,
    claims_page,
    claims_sentence,
    write_claims_page,
)
from allennlp_analyze.zoo.results import CLAIM_VERDICTS, Claim
from tests.support.browser import chromium, opened
from tests.support.html_elements import Elements, assert_nothing_outside_is_named, words
from tests.support.zoo_pages import CLAIMS

pytestmark = pytest.mark.newest_python
LINKS = (("the zoo", "zoo/index.html"), ("the post", "https://example.org/post"))
SECTIONS = (
    ClaimSection("AllenNLP", "Five archives.", CLAIMS, LINKS),
    ClaimSection("ImageNet", "", CLAIMS[2:]),
    ClaimSection("Nothing", "Not a claim.", (), (("evil", "javascript:alert(1)"),)),
)
TARGETS = ("zoo/index.html", "https://example.org/post", "zoo.csv", "https://example.org/a%20b")


def test_every_text_is_there_and_nothing_else_is_named() -> None:
    page = claims_page("The study", "All of it.", SECTIONS)
    assert_nothing_outside_is_named(page, (*TARGETS, "#main"))
    text = words(page)
    assert "The study" in text and "All of it." in text and "Five archives." in text
    for claim in CLAIMS:
        for part in (claim.claim, claim.published, claim.ours, claim.verdict, claim.note):
            assert part in text
    assert "4 claims: 1 holds, 1 does not hold, 2 could not be judged." in text
    found = [attributes["href"] for tag, attributes in Elements(page).tags if tag == "a"]
    # Of an address that would run, only the label is there.
    assert set(found) == {*TARGETS, "#main"} and "evil" in text


@given(st.lists(st.sampled_from(CLAIM_VERDICTS), max_size=30))
def test_every_verdict_is_counted(verdicts: "list[str]") -> None:
    sentence = claims_sentence([Claim("c", "p", "o", verdict) for verdict in verdicts])
    counts = Counter(verdicts)
    for verdict, verbs in (
        ("holds", ("holds", "hold")),
        ("does not hold", ("does not hold", "do not hold")),
        ("not run", ("could not be judged", "could not be judged")),
    ):
        said = f"{counts[verdict]} {verbs[counts[verdict] > 1]}"
        assert (said in sentence) == bool(counts[verdict])


def test_every_verdict_has_its_mark() -> None:
    assert set(MARKS) == set(CLAIM_VERDICTS)


@given(text=st.text(max_size=30))
def test_no_text_becomes_markup(text: str) -> None:
    def tags(of: str, target: str) -> Any:
        claim = Claim(of, of, of, "holds", f"note {of}", target)
        section = ClaimSection(f"h {of}", f"t {of}", (claim,), ((of, target),))
        page = claims_page(of, f"a {of}", [section])
        return [tag for tag, _ in Elements(page).tags]

    assert tags(text, "x.csv") == tags("plain", "x.csv")
    assert set(tags(text, text)) == set(tags("plain", "x.csv"))


def test_nothing_is_left_where_it_cannot_be_written(tmp_path: Path) -> None:
    path = write_claims_page("t", "a", SECTIONS, tmp_path / "index.html")
    assert path.read_text(encoding="utf-8") == claims_page("t", "a", SECTIONS)
    with pytest.raises(OutputError):
        write_claims_page("t", "a", SECTIONS, tmp_path / "missing" / "index.html")
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


def test_in_a_browser(tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    path = write_claims_page("The study", "All of it.", SECTIONS, tmp_path / "index.html")
    with chromium() as browser:
        for scheme, width in (("light", 1280), ("dark", 390)):
            with opened(browser, path, width, color_scheme=scheme) as found:
                assert found.page.evaluate("document.documentElement.scrollWidth") <= width
                violations = axe.Axe().run(found.page).response["violations"]
                assert [problem["id"] for problem in violations] == []
