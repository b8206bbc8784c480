"""Draw the packages, by layer, with every import between them: docs/explanation/house.*.

    python -m scripts.tools.make_house_docs [--check]

The layers are those that import-linter holds (pyproject.toml), the imports those that grimp finds,
and what a package holds is what the first line of its docstring says. With --check nothing is
written; the exit code is 1 if a file is out of date.
"""

import ast
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from xml.sax.saxutils import escape

from scripts.tools.generated import ROOT, write_or_check

PACKAGE = "allennlp_analyze"
PAGE = ROOT / "docs" / "explanation" / "house.md"
PICTURE = ROOT / "docs" / "explanation" / "house.svg"
HEADER = """# The house

<!-- Made by scripts/tools/make_house_docs.py from pyproject.toml, docstrings and imports. -->

Each package has one job, and imports only from the layers below its own. `make lint` checks this
with import-linter; `make generated` draws this page. [CONTRIBUTING.md](../../CONTRIBUTING.md) says
where to add new code.

![The packages by layer, and their imports](house.svg)

A dot is an import: the package of its row imports the one of its column. All dots are on one side
of the diagonal, so there is no cycle.
"""


@dataclass(frozen=True)
class Room:
    """A package or module at the top: what it holds, what it imports, and the packages in it."""

    name: str
    holds: str
    imports: frozenset[str]
    inside: "tuple[Room, ...]" = ()


def settings() -> Any:
    """import-linter's part of pyproject.toml."""
    import tomllib

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["tool"]["importlinter"]


def read_layers() -> list[list[Room]]:
    """The layers from the top down, each with its rooms."""
    import grimp

    linter = settings()
    graph = grimp.build_graph(
        PACKAGE,
        exclude_type_checking_imports=linter["exclude_type_checking_imports"],
        cache_dir=None,
    )
    (contract,) = (x for x in linter["contracts"] if x["type"] == "layers")
    layers = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    return [[_room(graph, name) for name in layer] for layer in layers]


def _room(graph: Any, name: str) -> Room:
    module = f"{PACKAGE}.{name}"
    within = {module, *graph.find_descendants(module)}
    found = {x for inner in within for x in graph.find_modules_directly_imported_by(inner)}
    imports = {x.split(".")[1] for x in found if x.count(".") >= 1} - {name}
    rooms = sorted(x for x in within - {module} if graph.find_children(x))
    inside = tuple(Room(x.removeprefix(f"{PACKAGE}."), _first_line(x), frozenset()) for x in rooms)
    return Room(name, _first_line(module), frozenset(imports), inside)


def _first_line(module: str) -> str:
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0]


def make_page(layers: Sequence[Sequence[Room]]) -> str:
    """The page around the picture: every package in words, and the rules."""
    return "\n".join([HEADER, *_table(layers), "", *_rules()]) + "\n"


def _table(layers: Sequence[Sequence[Room]]) -> Iterator[str]:
    yield "| layer | package or module | contents | imports |"
    yield "|---|---|---|---|"
    for number, layer in zip(range(len(layers), 0, -1), layers):
        for room in layer:
            imports = ", ".join(f"`{name}`" for name in sorted(room.imports))
            yield f"| {number} | `{room.name}` | {_cell(room.holds)} | {imports} |"
            for inner in room.inside:
                yield f"| | `{inner.name}` | {_cell(inner.holds)} | |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _rules() -> Iterator[str]:
    yield "Other rules:\n"
    for contract in settings()["contracts"]:
        if contract["type"] != "layers":
            yield f"- {contract['name']}."


# In units of the picture: the columns' left edges, a row's and a dot's size.
NUMBER_AT, NAME_AT, HOLDS_AT, DOTS_AT = 20, 52, 186, 574
ROW, TOP, DOT, HOLDS_WIDTH = 27, 146, 4.5, 66
BANDS = ("#f3f6fa", "#e4ebf3")
STYLE = """text { font: 12px system-ui, sans-serif; fill: #1b2733 }
.name { font: bold 12px ui-monospace, monospace }
.holds { font-size: 11px; fill: #44525f }
.line { stroke: #c3ced9; stroke-width: 0.5 }
.dot { fill: #1f5f9f }
.own { fill: #ffffff; stroke: #1f5f9f; stroke-width: 0.5 }"""


def make_picture(layers: Sequence[Sequence[Room]]) -> str:
    """The packages as rows and columns in one order, the layers as bands, an import as a dot."""
    rooms = [room for layer in layers for room in layer]
    width, height = DOTS_AT + ROW * len(rooms) + 16, TOP + ROW * len(rooms) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img">',
        "<title>The packages of allennlp_analyze by layer, and which imports which</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_bands(layers, width),
        *_grid(len(rooms), width, height),
        *_headings(),
    ]
    for index, room in enumerate(rooms):
        parts += _row(index, room, rooms)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bands(layers: Sequence[Sequence[Room]], width: int) -> Iterator[str]:
    at = TOP
    for number, layer in zip(range(len(layers), 0, -1), layers):
        tall = ROW * len(layer)
        colour = BANDS[number % 2]
        yield f'<rect x="8" y="{at}" width="{width - 16}" height="{tall}" fill="{colour}"/>'
        yield f'<text x="{NUMBER_AT}" y="{at + tall / 2 + 4:g}">{number}</text>'
        at += tall


def _grid(count: int, width: int, height: int) -> Iterator[str]:
    for index in range(count + 1):
        x, y = DOTS_AT + ROW * index, TOP + ROW * index
        yield f'<line class="line" x1="{x}" y1="{TOP}" x2="{x}" y2="{height - 16}"/>'
        yield f'<line class="line" x1="{NAME_AT}" y1="{y}" x2="{width - 16}" y2="{y}"/>'


def _headings() -> Iterator[str]:
    for x, words in ((8, "layer"), (NAME_AT, "package"), (HOLDS_AT, "holds")):
        yield f'<text class="holds" x="{x}" y="{TOP - 10}">{words}</text>'
    yield f'<text class="holds" text-anchor="end" x="{DOTS_AT - 8}" y="{TOP - 10}">imports</text>'


def _row(index: int, room: Room, rooms: Sequence[Room]) -> Iterator[str]:
    middle = TOP + ROW * index + ROW / 2
    yield f'<text class="name" x="{NAME_AT}" y="{middle + 4:g}">{escape(room.name)}</text>'
    lines = textwrap.wrap(room.holds.replace("`", ""), HOLDS_WIDTH)
    for number, line in enumerate(lines):
        y = middle + 4 + 12 * (number - (len(lines) - 1) / 2)
        yield f'<text class="holds" x="{HOLDS_AT}" y="{y:g}">{escape(line)}</text>'
    across = DOTS_AT + ROW * index + ROW / 2
    yield (
        f'<text class="name" transform="translate({across + 4:g} {TOP - 8}) rotate(-90)">'
        f"{escape(room.name)}</text>"
    )
    yield f'<circle class="own" cx="{across:g}" cy="{middle:g}" r="{DOT}"/>'
    for column, other in enumerate(rooms):
        if other.name in room.imports:
            x = DOTS_AT + ROW * column + ROW / 2
            words = escape(f"{room.name} imports {other.name}")
            yield (
                f'<circle class="dot" cx="{x:g}" cy="{middle:g}" r="{DOT}">'
                f"<title>{words}</title></circle>"
            )


def make_files() -> dict[Path, str]:
    """Both files, by path."""
    layers = read_layers()
    return {PAGE: make_page(layers), PICTURE: make_picture(layers)}


def main(argv: Optional[list[str]] = None) -> int:
    """Write the files, or check them; the exit code."""
    return write_or_check("scripts.tools.make_house_docs", __doc__, make_files, argv)


if __name__ == "__main__":
    sys.exit(main())
