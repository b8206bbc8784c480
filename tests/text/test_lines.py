"""What strangers wrote becomes one line that can be printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.text.lines import excerpt, one_line

pytestmark = pytest.mark.newest_python
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@given(ANY_TEXT, st.integers(5, 200))
def test_both_can_be_printed_and_keep_to_the_limit(text: str, limit: int) -> None:
    for shown in (one_line(text, limit), excerpt(text, limit)):
        assert shown.isprintable() and len(shown) <= limit
        shown.encode("utf-8")
    assert one_line(one_line(text)) == one_line(text)


@pytest.mark.parametrize(
    ("text", "line", "start"),
    [
        ("  two\n  lines ", "two lines", "  two?  lines "),
        ("a\x1b[31m", "a\\x1b[31m", "a?[31m"),
        (ValueError("no"), "no", "no"),
        ("x" * 15, "x" * 15, "x" * 11 + "..."),
    ],
)
def test_a_message_is_escaped_and_an_excerpt_is_cut(text: object, line: str, start: str) -> None:
    assert (one_line(text), excerpt(text, 14)) == (line, start)
