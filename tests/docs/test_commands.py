"""Every block of the documents is what it says: commands run and print what is shown."""

import ast
import csv
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from allennlp_analyze.cli.main import SUBCOMMANDS, make_parser
from tests.support import documents
from tests.support.commands import ONE_THREAD, ROOT
from tests.support.documents import PAGES, Block, Command, blocks, commands, same
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.newest_python
READ = [ROOT / "README.md", *PAGES]
LANGUAGES = {"console", "sh", "python", "yaml", "csv", "json", "text"}
# Their snippets are run and compared by tests of their own; one is for another library's files.
ELSEWHERE = {"how-to/library.md", "how-to/monitor.md", "how-to/zoo.md", "reference/formats.md"}


def name(page: Path) -> str:
    return page.relative_to(ROOT / "docs" if page in PAGES else ROOT).as_posix()


def of(language: str) -> "list[tuple[Path, Block]]":
    return [(page, block) for page in READ for block in blocks(page) if block.language == language]


def typed(page: Path) -> list[Command]:
    return [x for block in blocks(page) if block.language == "console" for x in commands(block)]


def test_every_block_says_what_it_is() -> None:
    found = [(name(page), x.line, x.language) for page in READ for x in blocks(page)]
    assert [x for x in found if x[2] not in LANGUAGES] == []
    for page in READ:
        text = page.read_text(encoding="utf-8")
        assert len(re.findall(r"^ *```", text, re.M)) == 2 * len(blocks(page)), name(page)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trainings of the lessons are kept, for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    kept = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    kept.mkdir(exist_ok=True)
    return kept


@pytest.mark.parametrize("page", [x for x in READ if typed(x)], ids=name)
def test_commands_print_what_is_shown(page: Path, tmp_path: Path, kept: Path) -> None:
    for package in ("torch", "distributed"):
        pytest.importorskip(package)
    directory = tmp_path / "work"
    directory.mkdir()
    for block in blocks(page):
        if block.title:
            (directory / block.title).write_text(block.text)
    shown = typed(page)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])  # in place of that of Dask, which may be in use
    printed = documents.shell([x.typed.replace("8786", port) for x in shown], directory, kept)
    assert len(printed) == len(shown)
    vary = documents.NUMBERS_VARY in page.read_text(encoding="utf-8")
    for command, text in zip(shown, printed):
        text = text.replace(port, "8786")
        assert same(command.shown, text, vary), f"{command.typed}\nprinted:\n{text}"


def test_what_is_not_printed_is_seen() -> None:
    assert same("a 1\n...\nb 2", "a 1\nx\ny\nb 2\n") and same("a 1\n...\nb 2", "a 1\nb 2\n")
    assert not same("a 1\nb 2", "a 1\nx\nb 2") and not same("a 1", "a 2")
    assert same("a 1, 2 and 3 b", "a 4\nb", True) and same("lost 5 of 6", "lost 7 of 9", True)
    assert not same("a 1 b", "a 1 c", True) and not same("", "a") and same("", "\n")
    block = Block("console", "", "$ a \\\n  b\nx\n\n$ c\n", 1)
    assert list(commands(block)) == [Command("a \\\n  b", "x\n\n"), Command("c", "")]


@pytest.mark.parametrize(
    "page", [x for x in READ if name(x) not in ELSEWHERE and "```python" in x.read_text()], ids=name
)
def test_snippets_run(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    code = "\n".join(x.text for x in blocks(page) if x.language == "python" and not x.title)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **ONE_THREAD},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


def test_snippets_and_data_can_be_parsed() -> None:
    for _, block in of("python"):
        ast.parse(block.text)
    for _, block in of("yaml"):
        assert yaml.safe_load(block.text)
    for _, block in of("json"):
        assert json.loads(block.text)
    for _, block in of("csv"):
        assert len({len(row) for row in csv.reader(block.text.splitlines())}) == 1


def lines_of_shell() -> "list[tuple[str, str]]":
    """Every command line of the documents, without what is after it in the shell."""
    found = [
        (name(p), line) for p, x in of("sh") for line in x.text.replace("\\\n", "").split("\n")
    ]
    found += [(name(page), x.typed.replace("\\\n", "")) for page in READ for x in typed(page)]
    for page, block in of("yaml"):  # of CI
        text = re.findall(r"^\s*(?:- )?(?:run: |  )(allennlp-analyze .*)$", block.text, re.M)
        found += [(name(page), line) for line in text]
    return found


@pytest.mark.parametrize("page, line", sorted(set(lines_of_shell())))
def test_the_parsers_know_every_command(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    for end in (">", ">>", "|", "||", "&&", "&", "2>", "2>&1", ";"):
        words = words[: words.index(end)] if end in words else words
    if words[:1] == ["uvx"]:
        words = words[words.index("allennlp-analyze") :]
    if words[:3] == ["python", "-m", "allennlp_analyze"]:
        words[:3] = ["allennlp-analyze"]
    if words[:2] == ["allennlp", "analyze"]:
        words[:2] = ["allennlp-analyze"]
    if words[:1] == ["allennlp-analyze"] and not {"--install-plugin", "--version"} & {*words}:
        parse(words[1:])


def parse(arguments: Sequence[str]) -> Any:
    if arguments[0] in SUBCOMMANDS:
        return SUBCOMMANDS[arguments[0]].make_parser().parse_args(arguments[1:])
    return make_parser().parse_args(arguments)
