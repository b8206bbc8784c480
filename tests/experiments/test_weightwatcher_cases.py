"""The comparison with WeightWatcher says what both tools answer, and quotes the benchmark."""

import re

import pytest

from tests.support.commands import ROOT

pytest.importorskip("torch")
from scripts.benchmarks import weightwatcher_cases

pytestmark = pytest.mark.newest_python
PAGE = (ROOT / "docs" / "explanation" / "weightwatcher.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("tool", ["ours", "weightwatcher"])
def test_the_page_shows_what_the_tool_answers(
    tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if tool == "weightwatcher":
        pytest.importorskip("weightwatcher")
    command = f"`python -m scripts.benchmarks.weightwatcher_cases {tool}`:\n\n```text\n"
    assert weightwatcher_cases.main([tool]) == 0
    shown = PAGE.split(command)[1].split("```")[0]
    assert capsys.readouterr().out == shown


def test_the_seconds_are_those_of_the_page_on_speed() -> None:
    speed = (ROOT / "docs" / "explanation" / "speed.md").read_text(encoding="utf-8")
    works = {"NER": "ner", "BERT": "bert", "VGG": "vgg", "4096": "4096"}
    rows = re.findall(
        r"^\| .*?(\w+)(?: model of 2018)? \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.M
    )
    assert [name for name, *_ in rows] == list(works)
    for name, own, peer, times in rows:
        assert re.search(rf"^{works[name]} +ours +{re.escape(own)} ", speed, re.M)
        assert re.search(
            rf"^{works[name]} +weightwatcher +{re.escape(peer)} +{times}$", speed, re.M
        )


def test_the_memory_is_that_of_the_page_on_speed() -> None:
    speed = (ROOT / "docs" / "explanation" / "speed.md").read_text(encoding="utf-8")
    (size, most) = re.findall(r"(\d+) MB on disk: .* at most (\d+) MiB", speed)[0]
    assert f"{most} MiB for one of {size} MB" in PAGE
