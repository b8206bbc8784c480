"""The anchors of layers: they follow from the names alone, and a URL may hold them as they are."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.reports.html.anchors import GROUP, LAYER, anchors, anchors_of
from allennlp_analyze.reports.html.shown import shown_layers
from tests.support.mixtures import mixture
from tests.support.report_factory import ODD_NAMES

pytestmark = pytest.mark.newest_python
NAMES = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)


@given(st.lists(NAMES, unique=True, max_size=8))
def test_different_names_have_different_anchors(names: "list[str]") -> None:
    found = anchors(LAYER, names)
    assert len(set(found)) == len(names)
    # In another run the layer has other neighbours, and another place.
    assert found == [anchors(LAYER, [name])[0] for name in names]
    assert anchors(LAYER, names[::-1]) == found[::-1]


@given(NAMES)
def test_neither_html_nor_a_url_changes_them(name: str) -> None:
    (found,) = anchors(LAYER, [name])
    assert quote(found, safe="/:") == found
    assert not re.search(r"[\s\"'<>&]", found)


def test_names_that_look_like_escapes_are_others() -> None:
    found = anchors(LAYER, ["a b", "a~20b", "a%20b", "a", "a", "a~~2"])
    assert found[:2] == ["layer-a~20b", "layer-a~7E20b"]
    assert found[3:] == ["layer-a", "layer-a~~2", "layer-a~7E~7E2"]
    assert len(set(found)) == 6


def test_odd_names_and_groups_of_experts() -> None:
    assert len(set(anchors(LAYER, ODD_NAMES))) == len(ODD_NAMES)
    report = mixture()
    found = anchors_of(report.layers, shown_layers(report.layers))
    assert found.of(0) == f"layer-{report.layers[0].name}"
    group = report.expert_groups[0]
    assert found.of(group) == GROUP + group.name.replace("*", "~2A")
    every = [*found.layers, *found.groups.values()]
    assert len(set(every)) == len(every)
