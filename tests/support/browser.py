"""Opens pages in Chromium as a reader would, and notes what a page must never do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.support.waiting import PATIENCE


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
def opened(browser: Any, path: Path, width: int = 1280, **options: Any) -> Iterator[Opened]:
    """The file `path` in a fresh window; in the end, it has made no error and no request."""
    context = new_context(browser, viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    found = Opened(page)
    page.goto(path.as_uri())
    yield found
    assert found.errors == []
    assert found.requests == [path.as_uri()]
    context.close()
