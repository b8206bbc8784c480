"""The README names what there is, and shows what the command prints."""

import re
from pathlib import Path

import pytest

from allennlp_analyze.cli import main, make_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_option_is_in_the_readme_and_every_one_there_exists() -> None:
    known = {o for action in make_parser()._actions for o in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", README))
    assert {option for option in known if option.startswith("--")} - named == set()
    assert named - known == set()


def test_make_targets_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_transcript_is_what_the_command_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = str(ROOT / "fixtures" / "ner-small.tar.gz")
    assert main([archive, "--output-dir", str(tmp_path), "--no-plots"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    shown = printed[: printed.index("") + 4]
    assert shown[-1].startswith("Healthy")
    assert "\n".join(shown) in README
