"""Nothing that is cut off goes uncounted."""

import pytest

from allennlp_analyze.text.lists import enumerated, first_lines, titled_lines

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize(
    ("most", "text"), [(1, "a and 2 more"), (2, "a, b and 1 more"), (3, "a, b, c"), (9, "a, b, c")]
)
def test_names_in_one_text(most: int, text: str) -> None:
    assert enumerated(["a", "b", "c"], most) == text


def test_lines_and_the_file_that_has_them_all() -> None:
    assert first_lines(["a", "b", "c"], 2) == ["a", "b", "and 1 more"]
    assert first_lines(["a", "b", "c"], 1, "x.json") == ["a", "and 2 more, in x.json"]
    assert first_lines(["a", "b"], 2, "x.json") == ["a", "b"]


def test_a_title_counts_what_is_under_it() -> None:
    assert titled_lines("Failed", iter("abc"), 2) == ["Failed (3):", "  a", "  b", "  and 1 more"]
    assert titled_lines("Failed", [], 2) == []
