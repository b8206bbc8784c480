"""docs/how-to/monitor.md: its snippet warns as it says, its names are there."""

import inspect
import re

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
PAGE = (ROOT / "docs" / "how-to" / "monitor.md").read_text(encoding="utf-8")
SNIPPET, _ = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(LOGGER,) = re.findall(r"to the logger\s+`(.*?)`", PAGE)
OPTIONS = re.findall(r"^\| (`.*?) \| (.*?) \|", PAGE, re.MULTILINE)


def without_numbers(lines: list[str]) -> list[str]:
    """Versions of torch train a little differently."""
    return sorted(re.sub(r"[\d.]+%|epoch \d+", "#", line) for line in lines)


def test_the_snippet_warns_as_shown(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torch")
    names: dict[str, object] = {}
    exec(compile(SNIPPET, "monitor.md", "exec"), names)
    shown = [line for line in PAGE.splitlines() if "is likely too strong" in line]
    assert len(shown) == 1
    said = [record.getMessage() for record in caplog.records]
    assert without_numbers(said) == without_numbers(shown)
    assert {record.name for record in caplog.records} == {LOGGER}
    assert names["monitor"].stops(names["check"])  # type: ignore[attr-defined]


def test_every_option_is_one_of_those_that_it_is_said_to_be_of() -> None:
    pytest.importorskip("torch")
    from allennlp_analyze import RankMonitor

    own = set(inspect.signature(RankMonitor).parameters) - {"model"}
    named = {name: of for cell, of in OPTIONS for name in re.findall(r"`(\w+)`", cell)}
    assert own <= named.keys()
    assert named.keys() - own == {"every_batches", "every"}
    try:
        from allennlp_analyze.monitor.allennlp import RankMonitorCallback
    except ImportError:
        return
    of_allennlp = set(inspect.signature(RankMonitorCallback).parameters) - {"serialization_dir"}
    said = {n for n, of in named.items() if of == "all" or "AllenNLP; the others" in of}
    assert of_allennlp == said - {"every"}


def test_the_other_trainers_have_callbacks_of_these_names() -> None:
    from allennlp_analyze.monitor import trainers as monitor_callbacks

    (line,) = [x for x in PAGE.splitlines() if x.startswith("from allennlp_analyze.monitor_")]
    for name in re.findall(r"\w+_callback\b", line):
        assert callable(getattr(monitor_callbacks, name))
