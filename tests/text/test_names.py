"""Names from archives cannot leave their place."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.text.names import (
    MAX_FILE_NAME,
    NAME_WIDTH,
    display_width,
    figure_name,
    file_name,
    math_escaped,
    printable,
    shorten,
)
from tests.support.report_factory import ODD_NAMES

pytestmark = pytest.mark.newest_python
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300) | st.sampled_from(ODD_NAMES)


@given(ANY_TEXT, st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252"]))
def test_printable_can_be_printed_anywhere_on_one_line(text: str, encoding: str) -> None:
    shown = printable(text, encoding)
    assert shown.isprintable()
    shown.encode(encoding)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)


@pytest.mark.parametrize("name", ["encoder.layer_0.weight", "a[query]", "über/层", "a b"])
def test_ordinary_names_stay(name: str) -> None:
    assert printable(name) == name
    assert shorten(name, 40) == name


@given(ANY_TEXT, st.integers(0, 120))
def test_shorten_keeps_to_the_width(text: str, width: int) -> None:
    text = printable(text)
    short = shorten(text, width)
    assert display_width(short) <= width
    assert (short == text) == (display_width(text) <= width)


def test_shorten_keeps_both_ends_and_more_of_the_last() -> None:
    """The tail alone tells the forward layer from the backward one."""
    long = (
        "text_field_embedder.token_embedder_elmo._elmo._elmo_lstm.forward_layer_0.input_linearity"
    )
    assert shorten(long, 36) == "te...forward_layer_0.input_linearity"


@given(ANY_TEXT, st.integers(0, 99_999), st.sampled_from(["png", "svg", "pdf"]))
def test_file_names_stay_in_their_directory(name: str, index: int, extension: str) -> None:
    safe = file_name(index, name, extension)
    assert len(safe) <= MAX_FILE_NAME
    assert safe.isascii() and safe.isprintable()
    assert not set(safe) & set("/\\:*?\"<>| '$`;&")
    assert safe.startswith(f"{index:03d}-") and safe.endswith("." + extension)


def test_a_dollar_sign_starts_no_formula() -> None:
    assert math_escaped("$x$\n") == r"\$x\$\n"


@given(ANY_TEXT)
def test_figures_show_the_same_short_name_as_the_terminal(text: str) -> None:
    shown = figure_name(text).replace(r"\$", "$")
    assert shown == shorten(printable(text), NAME_WIDTH)
