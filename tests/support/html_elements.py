"""A page taken apart by the standard library's parser, which knows nothing of how it was made."""

from collections.abc import Container
from html.parser import HTMLParser
from typing import Any, Optional


class Elements(HTMLParser):
    """All tags with their attributes, the text outside scripts and styles, and the page's data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Optional[str]]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.data = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"] and self.tags[-1][1].get("id") == "data":
            self.data += data
        elif self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)


def words(page: str) -> str:
    """The text of the page on one line."""
    return " ".join(" ".join(Elements(page).text).split())


def assert_nothing_outside_is_named(page: str, links: Container[Optional[str]] = ()) -> None:
    """No address but of the page's own parts, no handler in an attribute, and a policy for both.

    What a reader may follow, but the page does not load, may also be one of `links`.
    """
    found = Elements(page)
    for tag, attributes in found.tags:
        assert tag not in ("img", "iframe", "object", "embed", "base")
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            target = attributes.get(name)
            if (tag, name) == ("a", "href") and target in links:
                continue
            assert target is None or target.startswith("#") or target == "data:,", (tag, target)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    assert "@import" not in page and "url(" not in page.replace("url(#", "")
    (policy,) = [a["content"] for _, a in found.tags if a.get("http-equiv")]
    assert policy is not None and policy.startswith("default-src 'none'")
