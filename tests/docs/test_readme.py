"""The README is short, and shows what the command prints."""

from pathlib import Path

import pytest

from allennlp_analyze.cli.main import main
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short_and_begins_with_two_commands() -> None:
    assert len(README.splitlines()) <= 250
    commands = [line for line in README.splitlines() if line.startswith("make ")]
    assert [line.split()[1] for line in commands] == ["analyze", "test"]


def test_transcript_is_what_the_command_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    archive = str(ROOT / "fixtures" / "ner-small.tar.gz")
    assert main([archive, "--output-dir", str(tmp_path)]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    shown = printed[: next(i for i, line in enumerate(printed) if line.startswith("Written"))]
    assert shown[0].startswith("Healthy") and len(shown) > 40
    assert "\n".join(shown) in README
