"""The README names what there is, and shows what the command prints."""

import re
from pathlib import Path

import pytest

from allennlp_analyze.cli.main import SUBCOMMANDS, main, make_parser
from tests.support.commands import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_option_is_in_the_readme_and_every_one_there_exists() -> None:
    known = {o for action in make_parser()._actions for o in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", README))
    assert {option for option in known if option.startswith("--")} - named == set()
    of_scripts: set[str] = set()
    for script in set(re.findall(r"python (scripts/\w+\.py)", README)):
        text = (ROOT / script).read_text(encoding="utf-8")
        of_scripts.update(re.findall(r'"(--[a-z0-9-]+)"', text))
    of_subcommands = {
        option
        for module in SUBCOMMANDS.values()
        for action in module.make_parser()._actions
        for option in action.option_strings
    }
    assert named - known - of_subcommands - of_scripts == set()


def test_every_target_of_the_benchmark_is_shown() -> None:
    text = (ROOT / "scripts" / "benchmarks" / "speed_report.py").read_text(encoding="utf-8")
    works = re.findall(r'^    Target\("([^"]+)", "([^"]+)"', text, re.MULTILINE)
    assert len(works) >= 6
    for work, method in works:
        shown = [line for line in README.splitlines() if line.startswith(f"{work}: ")]
        assert any(method in line and re.search("reached|missed", line) for line in shown), work


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
