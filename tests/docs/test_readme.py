"""The README is short, and shows what the commands print; tests.docs.test_commands runs them."""

import re
from pathlib import Path

import pytest

from allennlp_analyze.cli.main import main
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short_and_begins_with_commands_for_everybody() -> None:
    assert len(README.splitlines()) <= 210
    found = re.findall(r"^(make|uvx) (.*?)(?: {2}.*)?$", README, re.MULTILINE)
    assert [tool for tool, _ in found] == ["uvx", "make", "make"]
    assert [rest for _, rest in found[1:]] == ["analyze", "test"]
    assert found[0][1].endswith("--from . allennlp-analyze fixtures/ner-small.tar.gz")


def test_the_commands_at_the_top_begin_with_the_verdict_that_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    archive = str(ROOT / "fixtures" / "ner-small.tar.gz")
    assert main([archive, "--output-dir", str(tmp_path)]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    sentence = "\n".join(printed[: printed.index("")])
    assert sentence.startswith("Healthy: all 30 judged layers")
    assert f"```text\n{sentence}\n```\n" in README


def test_the_picture_is_the_one_that_the_script_draws() -> None:
    svg = (ROOT / "docs" / "assets" / "collapse.svg").read_text(encoding="utf-8")
    for words in ("full rank: no direction lost", "weight decay 0.01; accuracy 100.0%"):
        assert words in svg
    (lost,) = re.findall(r"collapsed: (\d+ of \d+ directions) lost", svg)
    assert f"{lost} of the layer are gone" in README
