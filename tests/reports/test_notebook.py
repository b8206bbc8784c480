"""What a notebook shows: names as text whatever they hold, few rows, the worst layers always."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze import Report, analyze
from allennlp_analyze.reports.notebook import MAX_ROWS, NAME_WIDTH, to_html
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.text.names import printable, shorten
from tests.support.commands import SMALL
from tests.support.report_factory import ODD_NAMES, gaussian, make_layer, make_report, odd_report

pytestmark = pytest.mark.newest_python
TAGS = {"div", "span", "strong", "table", "thead", "tbody", "tr", "th", "td"}
STYLED = {"style", "title", "cellpadding"}


class Page(HTMLParser):
    """The rows of cells of a page, its tags and attributes, and whether each tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.titles: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, object]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.titles += [str(value) for name, value in attrs if name == "title"]
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data


def test_the_verdict_comes_first() -> None:
    report = analyze(SMALL)
    page = Page(report._repr_html_())
    assert page.texts[0] == report.summary.sentence
    assert len(page.rows) == 1 + len(report.layers)
    assert page.rows[0][0] == "layer" and page.rows[0][-1] == "verdict"
    assert [row[-1] for row in page.rows[1:]] == [layer.verdict for layer in report.layers]


def test_hostile_names_are_text() -> None:
    page = Page(to_html(odd_report()))
    assert page.tags <= TAGS and page.attributes <= STYLED
    shown = [row[0] for row in page.rows[1:]]
    assert shown[: len(ODD_NAMES)] == [shorten(printable(name), NAME_WIDTH) for name in ODD_NAMES]


@given(st.text(), st.text())
def test_any_name_is_text(name: str, archive: str) -> None:
    report = make_report(make_layer(gaussian(6, 4), name))
    summary = replace(report.summary, sentence=name)
    source = replace(report.source, archive=archive)
    text = to_html(replace(report, summary=summary, source=source))
    page = Page(text)
    assert page.tags <= TAGS and page.attributes <= STYLED
    assert page.rows[1][0] == shorten(printable(name), NAME_WIDTH)
    assert all(character.isprintable() for character in text)


@given(st.lists(st.sampled_from(LAYER_VERDICTS), max_size=3 * MAX_ROWS))
def test_few_rows_and_the_worst_among_them(verdicts: list[Verdict]) -> None:
    layer = make_layer(np.eye(3))
    layers = [replace(layer, name=str(i), verdict=v) for i, v in enumerate(verdicts)]
    page = Page(to_html(make_report(*layers)))
    shown = [(int(row[0]), row[-1]) for row in page.rows[1:]]
    assert len(shown) == min(len(verdicts), MAX_ROWS)
    assert shown == sorted(shown) and set(shown) <= set(enumerate(verdicts))
    left = len(verdicts) - len(shown)
    assert any(text.startswith(f"and {left} more: ") for text in page.texts) == (left > 0)
    for verdict in ("collapsed", "near_collapse"):
        wanted = verdicts.count(verdict)
        if verdicts.count("collapsed") + verdicts.count("near_collapse") <= MAX_ROWS:
            assert sum(v == verdict for _, v in shown) == wanted


def test_what_was_skipped_and_warned_of_is_counted() -> None:
    page = Page(Report.of(odd_report())._repr_html_())
    assert "model.tar.gz · 13 matrices · 2 tensors skipped · 1 warning" in page.texts
