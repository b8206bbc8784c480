"""The page of the house and its picture are what pyproject.toml, docstrings and imports say."""

import ast
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.commands import ROOT

pytest.importorskip("grimp")
pytest.importorskip("tomllib")
from scripts.tools import make_house_docs as house

pytestmark = pytest.mark.newest_python
SVG = "{http://www.w3.org/2000/svg}"
PACKAGE = ROOT / "allennlp_analyze"


@pytest.fixture(scope="module")
def layers() -> Any:
    return house.read_layers()


def test_the_page_and_its_picture_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_is_not_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(house, "PAGE", tmp_path / "house.md")
    monkeypatch.setattr(house, "PICTURE", tmp_path / "house.svg")
    assert house.main(["--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == [str(house.PAGE), str(house.PICTURE)]
    assert house.main([]) == 0 and house.main(["--check"]) == 0


def test_every_package_is_there_with_its_docstring() -> None:
    page = house.PAGE.read_text(encoding="utf-8")
    for init in PACKAGE.rglob("*/__init__.py"):
        name = ".".join(init.parent.relative_to(PACKAGE).parts)
        (first, *_) = (ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or "").split(
            "\n"
        )
        holds = first.replace("<", "&lt;")
        assert re.search(rf"^\|[ \d]*\| `{re.escape(name)}` \| {re.escape(holds)} \|", page, re.M)


def test_imports_are_those_of_the_sources(layers: Any) -> None:
    """Found by grimp, and once more by searching the text of one package and one module."""
    rooms = {room.name: room for layer in layers for room in layer}
    for name, files in (("zoo", PACKAGE.glob("zoo/**/*.py")), ("report", [PACKAGE / "report.py"])):
        text = "\n".join(path.read_text(encoding="utf-8") for path in files)
        text = re.sub(r"^if TYPE_CHECKING:\n(    .*\n|\n(?=    ))*", "", text, flags=re.MULTILINE)
        found = set(re.findall(r"^ *from allennlp_analyze\.(\w+)[. ]", text, re.MULTILINE))
        assert rooms[name].imports == found - {name}


def test_the_picture_has_a_dot_for_every_import_and_none_upward(layers: Any) -> None:
    rooms = [room for layer in layers for room in layer]
    root = ElementTree.fromstring(house.make_picture(layers))
    dots = [dot for dot in root.iter(f"{SVG}circle") if dot.get("class") == "dot"]
    drawn = {dot.findtext(f"{SVG}title") for dot in dots}
    assert drawn == {f"{room.name} imports {x}" for room in rooms for x in room.imports}
    assert len(drawn) == len(dots) > 50
    for dot in dots:
        column = (float(dot.get("cx", "")) - house.DOTS_AT) // house.ROW
        row = (float(dot.get("cy", "")) - house.TOP) // house.ROW
        assert column > row
