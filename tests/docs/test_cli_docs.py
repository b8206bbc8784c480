"""docs/reference/cli.md is what the parsers say, to the letter."""

import argparse
import re
import sys
from pathlib import Path

import pytest

from allennlp_analyze.cli import main as cli
from scripts.tools import make_cli_docs
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
PAGE = ROOT / "docs" / "reference" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert make_cli_docs.make_page() == page, "run `make generated`"
    assert make_cli_docs.main(["--check"]) == 0


def test_a_page_that_is_not_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_cli_docs, "PAGE", tmp_path / "cli.md")
    assert make_cli_docs.main(["--check"]) == 1
    assert "run `make generated`" in capsys.readouterr().err
    assert make_cli_docs.main([]) == 0 and make_cli_docs.main(["--check"]) == 0
    (tmp_path / "cli.md").write_text("# The command line\n")
    assert make_cli_docs.main(["--check"]) == 1


def test_every_option_of_every_command_is_there() -> None:
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    parsers = [cli.make_parser(), *(x.make_parser() for x in cli.SUBCOMMANDS.values())]
    assert [section.split("\n")[0] for section in sections] == [x.prog for x in parsers]
    for section, parser in zip(sections, parsers):
        for action in parser._actions:
            if action.help != argparse.SUPPRESS:
                for name in action.option_strings or [action.metavar or action.dest]:
                    assert re.search(rf"^\| `.*{re.escape(str(name))}\b", section, re.MULTILINE)


def test_forms_of_arguments() -> None:
    parser = argparse.ArgumentParser(prog="tool", description="Does <it> at 100%%, `<so>`.")
    parser.add_argument("first")
    parser.add_argument("rest", nargs="*", metavar="REST", help="a|b")
    group = parser.add_argument_group("how to do it")
    group.add_argument(
        "-n", "--number", type=int, default=7, help="how many (default: %(default)d)"
    )
    group.add_argument("--pair", nargs=2, metavar=("LOW", "HIGH"), required=True)
    group.add_argument("--maybe", nargs="?", const=1)
    group.add_argument("--some", nargs="+", choices=("x", "y"), help="of %(choices)s")
    group.add_argument("--hidden", help=argparse.SUPPRESS)
    group.add_argument("--draw", action=argparse.BooleanOptionalAction, default=True, help="draw")
    text = "\n".join(make_cli_docs._section(parser))
    for line in (
        "Does &lt;it> at 100%, `<so>`.",
        "tool [OPTIONS] --pair LOW HIGH first [REST ...]",
        "### Arguments",
        "| `first` |  |",
        r"| `[REST ...]` | a\|b |",
        "### Options",
        "### How to do it",
        "| `-n, --number NUMBER` | how many (default: 7) |",
        "| `--maybe [MAYBE]` |  |",
        "| `--some {x,y} [{x,y} ...]` | of x, y |",
        "| `--draw, --no-draw` | draw |",
    ):
        assert line in text.split("\n"), (line, sys.version)
    assert "hidden" not in text
