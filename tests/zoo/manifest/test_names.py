"""Models' names differ, and so do their directories, on every file system."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.zoo.manifest.entries import ZooEntry
from allennlp_analyze.zoo.manifest.names import MAX_SLUG, distinct, slugs
from tests.support.report_factory import ODD_NAMES

pytestmark = pytest.mark.newest_python
# Some that only differ in what a file system drops, and what Windows cannot have.
NASTY = (
    *ODD_NAMES,
    *("model", "Model", "MODEL", "model.", "model ", " model", ".model", "..", ".", "/", "a/b"),
    *("a__b", "a/../b", "a//b", "/a", "a/", "A/b", "nul", "NUL.txt", "con/x", "aux.tar/x", "COM1"),
    *("é", "e\u0301", "K", "\u212a", "ß", "ss", "ﬃ", "-", "_", "\ufdfa" * 90),
    *("x" * 100, "x" * 101, "x" * 300, "lpt9.a"),
    "model-0123456789ab",
    "model-" + "0123456789abcdef" * 4,
)
NAMES = st.text(st.characters(exclude_categories=()), max_size=130) | st.sampled_from(NASTY)
LISTS = st.lists(NAMES | st.text("aA/_-.b", max_size=6), unique=True, max_size=30)
# From the rules of Windows for file names.
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.DOTALL)


def slugs_of(names: "list[str]") -> "tuple[str, ...]":
    return slugs([ZooEntry(name, "model.tar.gz") for name in names])


def assert_safe(slug: str) -> None:
    assert slug.isascii() and 0 < len(slug) <= MAX_SLUG
    assert re.fullmatch(r"[A-Za-z0-9._-]+", slug)
    assert not slug.startswith((".", "-")) and not slug.endswith(".")
    assert not DEVICE.fullmatch(slug)


@given(LISTS)
def test_directories_are_safe_and_differ_in_more_than_case(names: "list[str]") -> None:
    found = slugs_of(names)
    for slug in found:
        assert_safe(slug)
    assert len({slug.lower() for slug in found}) == len(names)


def test_nasty_names_become_directories_of_this_file_system(tmp_path: Path) -> None:
    names = list(dict.fromkeys(NASTY))
    for slug in slugs_of(names):
        (tmp_path / slug).mkdir()
    assert len(os.listdir(tmp_path)) == len(names)


@given(LISTS, LISTS)
def test_other_models_change_no_directory(names: "list[str]", others: "list[str]") -> None:
    more = [name for name in others if name not in names]
    assert slugs_of([*more, *names])[len(more) :] == slugs_of(names)


@given(st.lists(st.from_regex(r"\A[a-z0-9]([a-z0-9.]{0,8}[a-z0-9])?\Z"), min_size=1, max_size=4))
def test_plain_names_stay_as_they_are(parts: "list[str]") -> None:
    expected = "__".join(parts)
    (slug,) = slugs_of(["/".join(parts)])
    assert slug == expected or DEVICE.fullmatch(expected)


def test_a_directory_can_be_recognized() -> None:
    assert slugs_of(["v0.4.0/bidaf", "ner-model-2018.04.26"]) == (
        "v0.4.0__bidaf",
        "ner-model-2018.04.26",
    )
    (accented,) = slugs_of(["Modèle n° 7"])
    assert re.fullmatch("Modele-n-7-[0-9a-f]{12}", accented)


@given(
    st.lists(st.lists(st.text("ab", max_size=3), min_size=1, max_size=3)), st.sets(st.text("ab"))
)
def test_distinct_names_differ_and_are_chosen_as_late_as_need_be(
    candidates: "list[list[str]]", taken: "set[str]"
) -> None:
    found = distinct(candidates, taken)
    assert len(set(found)) == len(candidates)
    assert not set(found) & taken
    firsts = [options[0] for options in candidates]
    everything = [name for options in candidates for name in options]
    for name, options in zip(found, candidates):
        bare = re.sub(r" \(\d+\)\Z", "", name)
        assert bare in options
        if firsts.count(options[0]) == 1 and options[0] not in taken:
            if everything.count(options[0]) == 1:
                assert name == options[0]


def test_distinct_takes_longer_names_and_then_numbers() -> None:
    candidates = [("m", "a/m"), ("m", "b/m"), ("n", "c/n"), ("o",), ("o",), ("o",)]
    assert distinct(candidates, {"o (2)"}) == ("a/m", "b/m", "n", "o", "o (3)", "o (4)")
