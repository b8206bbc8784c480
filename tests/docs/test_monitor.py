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
    assert len(shown) == 2
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


def test_every_test_that_a_table_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE)
    assert len(named) > 20
    for file, test in named:
        written = (ROOT / "tests" / "monitor" / file).read_text(encoding="utf-8")
        assert f"\ndef {test}(" in written, (file, test)


def test_every_row_of_a_trainer_or_logger_names_a_test() -> None:
    for head in ("| trainer | versions |", "| logger | versions |"):
        table = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()
        rows = table[2:]
        assert len(rows) >= 4 and all(re.search(r"\.py::test_\w+` \|$", row) for row in rows)


def test_the_versions_are_those_of_the_environments() -> None:
    """What is run by hand is in no environment."""
    pins = {
        tuple(line.split("=="))
        for name in ("constraints.txt", "constraints-standalone.txt", "constraints-formats.txt")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    packages = {name for name, _ in pins} - {"allennlp"}
    table = PAGE[PAGE.index("| trainer | versions |") : PAGE.index("`history=")]
    said = set(re.findall(r"\b([a-z][a-z-]+) (\d+\.\d+\.\d+)", table))
    assert len({name for name, _ in said}) >= 8
    assert {one for one in said if one[0] in packages} <= pins
