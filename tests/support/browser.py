"""Opens pages in Chromium as a reader would, and notes what a page must never do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional
from weakref import WeakKeyDictionary

import pytest

from tests.support.waiting import PATIENCE

# Of each browser, windows by their options that no test uses now: a process each.
WINDOWS: "WeakKeyDictionary[Any, dict[str, Opened]]" = WeakKeyDictionary()


def chromium_path() -> Optional[str]:
    """Where the system has Chromium; None where it has none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Opened:
    """A page, the errors it printed, and the requests it made."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.errors.append(text)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = chromium_path()
    if path is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=1000 * PATIENCE
        )
        yield browser
        browser.close()


def new_context(browser: Any, **options: Any) -> Any:
    """A fresh window that waits for a busy machine."""
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * PATIENCE)
    return context


@contextmanager
def opened(
    browser: Any, path: Path, width: int = 1280, color_scheme: str = "light", **options: Any
) -> Iterator[Opened]:
    """The file `path` in a window; in the end, it has made no error and no request.

    The window is a fresh one, or one that showed a page of another test: an empty one since then,
    and no page keeps anything.
    """
    windows = WINDOWS.setdefault(browser, {})
    found = windows.pop(repr(options), None) or Opened(new_context(browser, **options).new_page())
    page = found.page
    page.goto("about:blank")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(media="screen", color_scheme=color_scheme)
    found.errors.clear()
    found.requests.clear()
    page.goto(path.as_uri())
    yield found
    assert found.errors == []
    assert found.requests == [path.as_uri()]
    windows[repr(options)] = found
