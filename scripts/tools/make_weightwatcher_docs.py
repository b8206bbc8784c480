"""Write the table of WeightWatcher's columns in docs/how-to/from-weightwatcher.md.

    python -m scripts.tools.make_weightwatcher_docs [--check]

That is what stands between `<!-- weightwatcher: columns -->` and `<!-- end -->`. With --check
nothing is written; the exit code is 1 where the page is not what would be written.
"""

import re
import sys
from typing import Optional

from allennlp_analyze.metrics.weightwatcher import COLUMNS, PeerColumn
from scripts.tools.generated import ROOT, write_or_check

PAGE = ROOT / "docs" / "how-to" / "from-weightwatcher.md"
HEAD = ("its column", "here", "remark")
_PART = re.compile(r"(<!-- weightwatcher: columns -->\n).*?(<!-- end -->\n)", re.DOTALL)


def make_page() -> str:
    """The page with its table as it should be. Raises `ValueError` if it has no place for it."""
    lines = [HEAD, ("---",) * len(HEAD), *map(_cells, COLUMNS)]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    old = PAGE.read_text(encoding="utf-8")
    new, places = _PART.subn(lambda found: f"{found[1]}\n{table}\n{found[2]}", old)
    if places != 1:
        raise ValueError(f"{PAGE}: needs one `<!-- weightwatcher: columns -->`")
    return new


def _cells(column: PeerColumn) -> tuple[str, ...]:
    option = f" (`{column.option}=True`)" if column.option else ""
    return f"`{column.name}`{option}", column.ours, column.note


def main(argv: Optional[list[str]] = None) -> int:
    """Write the page, or check it; the exit code."""
    return write_or_check(
        "scripts.tools.make_weightwatcher_docs", __doc__, lambda: {PAGE: make_page()}, argv
    )


if __name__ == "__main__":
    sys.exit(main())
