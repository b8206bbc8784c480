"""What a page may link to: nothing that runs, nothing but the file or address that was named."""

from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allennlp_analyze.text.links import link_target

pytestmark = pytest.mark.newest_python
PAGE = "file:///zoo/index.html"


@given(st.text(max_size=60))
@example("javascript:alert(1)")
@example("java\tscript:alert(1)")
@example(" javascript:alert(1)")
@example("//example.org/x")
@example("\\\\example.org\\x")
@example("data:text/html,x")
@example("https:/\t/x")
def test_only_web_addresses_and_paths_beside_the_page(text: str) -> None:
    target = link_target(text)
    if target is None:
        return
    assert target.isascii() and target.isprintable() and not set(' "<>\\`') & set(target)
    led = urlsplit(urljoin(PAGE, target))
    if led.scheme == "file":
        assert not target.startswith("/") and led.netloc == ""
        assert led.query == "" and led.fragment == ""
    else:
        assert led.scheme in ("http", "https") and led.netloc


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_relative_path_comes_back_as_it_was(name: str) -> None:
    target = link_target(f"models/{name}/report.html")
    assert target is not None
    assert unquote(target) == f"models/{name}/report.html"


@pytest.mark.parametrize(
    "text, target",
    [
        ("zoo/index.html", "zoo/index.html"),
        ("../100%.csv", "../100%25.csv"),
        ("a b#c?d.csv", "a%20b%23c%3Fd.csv"),
        ("https://example.org/a b?q=1#f", "https://example.org/a%20b?q=1#f"),
        ("HTTP://example.org", "HTTP://example.org"),
        ("https://example.org/%20", "https://example.org/%20"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        ("vbscript:x", None),
        ("file:///etc/passwd", None),
        ("C:\\x", None),
        ("/etc/passwd", None),
        ("//example.org", None),
        ("", None),
    ],
)
def test_cases(text: str, target: "str | None") -> None:
    assert link_target(text) == target
