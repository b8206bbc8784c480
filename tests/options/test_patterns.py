"""A stranger's regular expression ends, or is refused in one line."""

import re
import time

import pytest

from allennlp_analyze.analysis.measure import select
from allennlp_analyze.errors import OptionError
from allennlp_analyze.options.patterns import MAX_LENGTH, compiled, matcher
from allennlp_analyze.settings import Settings
from tests.support.report_factory import gaussian, make_layer

pytestmark = pytest.mark.newest_python

ENDLESS = [
    "(a+)+$",
    "(a*)*b",
    "(a|aa)+$",
    "(a|a)*$",
    "(?:(?:a?)+)+$",
    "(a{1,50}){1,50}$",
    "(.*a){20}$",
    "a?" * 40 + "a" * 40,
    "(x+x+)+y",
    "(?=(a+)+$)",
    "((a)|(aa))+$",
    ".*" * 12 + "b",
    r"(a+)\1+(\1+)+$",
    "(a+){3,}$",
]
ORDINARY = [
    "",
    ".*",
    "encoder",
    r"^encoder\.layer\.[0-9]+\.attention\.(self|output)\.(query|key|value)$",
    "(?i)attn|attention|mlp",
    r"transformer.*h\.(\d+)\.attn.*c_attn.*",
    r"(?!.*embed).*weight",
    r"layers\.(1?\d|2[0-3])\.",
    "(ab)+c{2,3}",
    "[^.]+[.]bias?",
]


@pytest.mark.parametrize("text", ENDLESS)
def test_expressions_that_can_take_for_ever_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="layers: .* is refused: ") as caught:
        Settings(layers=text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_expressions_find_what_python_finds(text: str) -> None:
    for name in ("encoder.layer.11.attention.self.query", "transformer.h.3.attn.c_attn", "abcc"):
        assert matcher(text)(name) == (re.search(text, name) is not None)


@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_allowed_ends_soon(text: str) -> None:
    matches = matcher(text)
    started = time.process_time()
    for name in ("a" * 100, "transformer" * 9, "." * 100, "encoder.layer." * 7):
        matches(name)
    assert time.process_time() - started < 5


def test_long_and_deep_expressions_are_refused() -> None:
    with pytest.raises(ValueError, match=f"the limit is {MAX_LENGTH}"):
        compiled("(" * 20_000 + ")" * 20_000)
    assert compiled("(" * 90 + ")" * 90)


def test_a_long_name_with_several_repeats_is_refused() -> None:
    long = make_layer(gaussian(5, 4), "a" * 10_000)
    assert select([long], Settings(layers="a.*b|a")) == [long]
    with pytest.raises(OptionError, match="too many repeats for a name of 10000 characters"):
        select([long], Settings(layers="a.*b.*c.*d"))
