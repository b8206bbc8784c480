"""List the figures in reference/reports.md and how-to/zoo.md, from the tables of the commands.

    python -m scripts.tools.make_figure_docs [--check]

They stand between `<!-- figures: model -->` (or `zoo`) and `<!-- end -->`; the words around them
are written by hand. With --check nothing is written; the exit code is 1 where a page is not what
would be written.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from scripts.tools.generated import ROOT, write_or_check

PAGES = {
    "model": ROOT / "docs" / "reference" / "reports.md",
    "zoo": ROOT / "docs" / "how-to" / "zoo.md",
}


def make_pages() -> dict[Path, str]:
    """The pages with their lists of figures as they should be."""
    from allennlp_analyze.reports.figures.model import MODEL_PLOTS
    from allennlp_analyze.zoo.reports.plots import ZOO_PLOTS

    figures = {
        "model": [(plot.name, plot.caption.description) for plot in MODEL_PLOTS],
        "zoo": [(name, caption.description) for name, _, caption in ZOO_PLOTS],
    }
    return {page: _listed(page, kind, figures[kind]) for kind, page in PAGES.items()}


def _listed(page: Path, kind: str, figures: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"| `{name}` | {words} |\n" for name, words in figures)
    table = f"| file | shows |\n|---|---|\n{rows}"
    start, end = f"<!-- figures: {kind} -->\n", "<!-- end -->\n"
    part = re.compile(f"{start}.*?{end}", re.DOTALL)
    old = page.read_text(encoding="utf-8")
    text, count = part.subn(lambda _: f"{start}\n{table}\n{end}", old)
    if count == 0:
        raise ValueError(f"{page}: has no `<!-- figures: {kind} -->`")
    return text


def main(argv: Optional[list[str]] = None) -> int:
    """Write the pages, or check them; the exit code."""
    return write_or_check("scripts.tools.make_figure_docs", __doc__, make_pages, argv)


if __name__ == "__main__":
    sys.exit(main())
