"""What the documents name is there: files, modules, links, options, targets of make."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from allennlp_analyze.cli.main import SUBCOMMANDS, make_parser
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("allennlp_analyze/**/*.md")]
)
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
_PATH = re.compile(
    r"(?<![\w./-])(?:allennlp_analyze|scripts|tests|docs|fixtures|examples)/[\w./*-]+"
)
_MODULE = re.compile(r"(?<![\w./-])((?:allennlp_analyze|scripts|tests)(?:\.[A-Za-z_]\w*)+)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# Of Dask, coverage and uv.
FOREIGN = {
    *("--host", "--no-dashboard", "--nthreads", "--nworkers", "--port"),
    "--show-missing",
    *("--from", "--python"),
}


def of_documents(pattern: "re.Pattern[str]") -> Iterator[tuple[Path, str]]:
    for path in DOCUMENTS:
        for found in pattern.finditer(path.read_text(encoding="utf-8")):
            yield path, found[found.lastindex or 0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = _LINK.findall(document.read_text(encoding="utf-8"))
    relative = [link for link in links if not re.match(r"https?://|mailto:", link)]
    assert [link for link in relative if not (document.parent / link).exists()] == []


def test_paths_exist() -> None:
    named = [(path.name, text.rstrip(".")) for path, text in of_documents(_PATH)]
    assert len(named) > 50
    assert [(name, text) for name, text in named if not list(ROOT.glob(text.rstrip("/")))] == []


def exists(module: str) -> bool:
    """Whether `module` is a module or package, or a name that one of them mentions."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:end])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.is_file():
            rest = parts[end:]
            return not rest or re.search(rf"\b{rest[0]}\b", file.read_text("utf-8")) is not None
    return False


def test_modules_exist() -> None:
    named = [(path.name, text) for path, text in of_documents(_MODULE)]
    assert len(named) > 20
    assert [(name, text) for name, text in named if not exists(text)] == []
    assert exists("allennlp_analyze.zoo.run") and exists("allennlp_analyze.plugin")
    assert not exists("allennlp_analyze.zoo.running") and not exists("scripts.rank_collapse_theory")


def test_options_exist() -> None:
    parsers = [make_parser(), *(module.make_parser() for module in SUBCOMMANDS.values())]
    known = {x for parser in parsers for action in parser._actions for x in action.option_strings}
    for script in ROOT.glob("scripts/**/*.py"):
        known.update(re.findall(r'"(--[a-z0-9-]+)"', script.read_text(encoding="utf-8")))
    known.update(FOREIGN)
    assert [(path.name, x) for path, x in of_documents(_OPTION) if x not in known] == []


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    # In backticks, or the line of an example.
    form = re.compile(r"(?:`make (?=[^`\n]+`)|^make (?=\S+(?: {2}| [A-Z]|$)))([a-z0-9-]+)", re.M)
    named = {text for _, text in of_documents(form)}
    assert named >= {"analyze", "test", "test-standalone", "lint"}
    assert named <= targets


def test_every_target_of_the_benchmark_is_shown() -> None:
    page = (ROOT / "docs" / "explanation" / "speed.md").read_text(encoding="utf-8")
    text = (ROOT / "scripts" / "benchmarks" / "speed_report.py").read_text(encoding="utf-8")
    works = re.findall(r'^    Target\("([^"]+)", "([^"]+)"', text, re.MULTILINE)
    assert len(works) >= 6
    for work, method in works:
        shown = [line for line in page.splitlines() if line.startswith(f"{work}: ")]
        assert any(method in line and re.search("reached|missed", line) for line in shown), work
