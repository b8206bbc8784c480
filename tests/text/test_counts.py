"""Counts and shares in words."""

import pytest

from allennlp_analyze.text.counts import fraction

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize(
    "share, words",
    [
        (0.5, "half"),
        (1 / 3, "a third"),
        (0.1, "a tenth"),
        (0.05, "a twentieth"),
        (0.0500001, "5%"),
        (0.07, "7%"),
        (0.0, "0%"),
        (1.0, "100%"),
    ],
)
def test_a_share_has_its_word_or_is_in_percent(share: float, words: str) -> None:
    assert fraction(share) == words
