"""Write what docs/reference/metrics.md says of single metrics, from their catalogue.

    python -m scripts.tools.make_metrics_docs [--check]

That is what stands between `<!-- metrics: SECTION -->` and `<!-- end -->`, and the worked example;
the words around it are written by hand. With --check nothing is written; the exit code is 1 where
the page is not what would be written.
"""

import math
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Optional

from allennlp_analyze import analyze
from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import Metric
from allennlp_analyze.reports.csv import COMPARISON, columns, rows
from allennlp_analyze.results.layer import TOLERANCES
from scripts.tools.generated import ROOT, write_or_check

PAGE = ROOT / "docs" / "reference" / "metrics.md"
WIDTH = 104
ARCHIVE = "fixtures/ner-small.tar.gz"
LAYER = "encoder._module.weight_ih_l0"
# Their metrics are rows of a table; those of other sections have a heading each.
TABLES = ("matrix", "Tikhonov", "verdict")
RANKS = "hard rank"
EXAMPLE = "a worked example"
_PART = re.compile(r"(<!-- metrics: ([^\n]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_VALUE = re.compile(r"^\| `(\w+)` \| (\S+) \|$", re.MULTILINE)


def make_page() -> str:
    """The page with its generated parts as they should be."""
    old = PAGE.read_text(encoding="utf-8")
    return _PART.sub(lambda found: f"{found[1]}\n{_part(found[2], found[0])}\n{found[3]}", old)


def _part(section: str, old: str) -> str:
    metrics = [metric for metric in CATALOGUE if metric.section == section]
    if section == EXAMPLE:
        return "\n".join(_example(dict(_VALUE.findall(old)))) + "\n"
    if section == RANKS:
        return "\n".join(_ranks({metric.key: metric for metric in metrics})) + "\n"
    if section in TABLES:
        return "\n".join(_table(metrics)) + "\n"
    return "\n".join(f"### {_heading(metric)}\n\n{_paragraph(metric)}\n" for metric in metrics)


def _heading(metric: Metric) -> str:
    """What it is called, in report.json and elsewhere."""
    return ", ".join(f"`{name}`" for name in dict.fromkeys((metric.key, *metric.names)))


def _paragraph(metric: Metric) -> str:
    parts = (
        f"{metric.formula}.",
        metric.unit,
        metric.meaning,
        metric.details,
        metric.undefined and f"`null` {metric.undefined}.",
        metric.source and f"Source: {metric.source}.",
        metric.agrees and f"Must agree with: {metric.agrees}.",
        metric.distrust and f"**When not to trust it:** {metric.distrust}",
    )
    text = re.sub("^the ", "The ", " ".join(filter(None, parts)))
    filled = textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return re.sub(r"^(?=#)", r"\\", filled, flags=re.MULTILINE)  # a count, not a heading


def _table(metrics: list[Metric]) -> Iterator[str]:
    formulas = any(metric.formula for metric in metrics)
    head = ["report.json", "layers.csv", *(["formula"] if formulas else []), ""]
    yield _row(head)
    yield "|---" * len(head) + "|"
    for metric in metrics:
        names = ", ".join(f"`{name}`" for name in metric.names)
        said = [metric.meaning or metric.description, metric.details]
        said += [metric.unit] if formulas else []
        formula = [metric.formula] if formulas else []
        yield _row([f"`{metric.key}`", names, *formula, " ".join(filter(None, said))])


def _ranks(metrics: dict[str, Metric]) -> Iterator[str]:
    """A row for each tolerance, with what is counted by it."""
    yield _row(["tolerance", "formula", "columns of layers.csv"])
    yield "|---|---|---|"
    for name in TOLERANCES:
        keys = [f"{part}.{name}" for part in ("tolerance", "hard_rank", "rank_loss_percent")]
        names = ", ".join(f"`{column}`" for key in keys for column in metrics[key].names)
        yield _row([f"`{name}`", metrics[keys[0]].formula, names])


def _example(shown: dict[str, str]) -> Iterator[str]:
    """The numbers of one layer. Those `shown` stay while they are right: other machines' last
    digits are no change."""
    only = f"^{re.escape(LAYER)}$"
    report = analyze(ROOT / ARCHIVE, layers=only, compare_distributions=True)
    [row] = [row for row in rows(report) if row["name"] == LAYER]
    yield _row(["column", "value"])
    yield "|---|---|"
    for column in columns(report):
        value = row.get(column)
        if isinstance(value, (int, float)):
            old = shown.get(column)
            yield _row(
                [f"`{column}`", old if old and _close(column, old, value) else f"{value:.4g}"]
            )


def _close(column: str, old: str, value: float) -> bool:
    # The optimizers behind p-values and ratios differ in their last digits.
    return math.isclose(float(old), value, rel_tol=5e-3 if COMPARISON.fullmatch(column) else 5e-4)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(argv: Optional[list[str]] = None) -> int:
    """Write the page, or check it; the exit code."""
    return write_or_check(
        "scripts.tools.make_metrics_docs", __doc__, lambda: {PAGE: make_page()}, argv
    )


if __name__ == "__main__":
    sys.exit(main())
