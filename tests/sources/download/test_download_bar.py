"""The progress bar of a download."""

import io
import re
import sys

import pytest

from allennlp_analyze.sources.download.cache import fetch
from tests.support.downloads import BODY, NAME
from tests.support.http_server import File, HttpServer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_shows_the_size_and_the_rate(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    server.pages[NAME] = File(BODY)
    fetch(server.url(NAME), quiet=quiet)
    shown = re.search(r"model\.tar\.gz: .*/293k \[.*B/s\]", terminal.getvalue())
    assert (shown is None) if quiet else shown
    assert quiet is (terminal.getvalue() == "")
    assert sys.stdout.getvalue() == ""


def test_nothing_is_shown_where_there_is_no_terminal(
    server: HttpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.pages[NAME] = File(BODY)
    fetch(server.url(NAME), quiet=False)
    assert capsys.readouterr() == ("", "")
