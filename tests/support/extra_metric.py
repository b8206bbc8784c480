"""Everything that is written and shown, with one more metric in the catalogue.

    python -m tests.support.extra_metric DIRECTORY

A process of its own, so that the catalogue has the entry before any other module reads it.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from allennlp_analyze.metrics import catalogue
from allennlp_analyze.metrics.metric import WEIGHTS, Metric, PageColumn, TerminalColumn

KEY = "nuclear_norm"
EXTRA = Metric(
    KEY,
    "Sum of the singular values.",
    compute=lambda facts: float(np.sum(facts.singular_values)) or None,
    label="nuclear norm",
    formula="‖W‖_* = Σσ",
    meaning="The size of all directions together.",
    section="norms",
    unit=WEIGHTS,
    undefined="for the zero matrix",
    distrust="never.",
    term=True,
    terminal=TerminalColumn("nuclear", ".4g", compared=0),
    page=PageColumn("‖σ‖₁", 4, compared=True),
    compared=True,
)


def with_extra(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    """The extra one stands after the effective rank."""
    place = [metric.key for metric in metrics].index("effective_rank") + 1
    return (*metrics[:place], EXTRA, *metrics[place:])


def main(directory: Path) -> None:
    from safetensors.numpy import save_file

    from allennlp_analyze import load
    from allennlp_analyze.cli.main import main as command
    from scripts.tools import make_metrics_docs, make_schemas

    rng = np.random.default_rng(2018)
    weights = {"a.weight": rng.standard_normal((40, 20)), "zero.weight": np.zeros((6, 3))}
    for name, scale in (("one", 1.0), ("two", 3.0)):
        file = directory / f"{name}.safetensors"
        save_file({key: scale * value for key, value in weights.items()}, file)
        with printing_to(directory / f"{name}.txt"):
            command([str(file), "--output-dir", str(directory / name), "--no-plots"])
    models = [str(directory / "one"), str(directory / "two")]
    with printing_to(directory / "compare.txt"):
        command(["compare", *models, "--all", "--output-dir", str(directory / "compared")])
    report = load(directory / "one")
    report.write(directory / "again", plots=False)
    with contextlib.suppress(ImportError):
        column = report.to_dataframe()[KEY]
        found = {"dtype": str(column.dtype), "values": [x if x == x else None for x in column]}
        (directory / "frame.json").write_text(json.dumps(found))
    (directory / "metrics.md").write_text(make_metrics_docs.make_page(), encoding="utf-8")
    schemas = {"report": make_schemas.report_schema(), "compare": make_schemas.comparison_schema()}
    (directory / "schemas.json").write_text(json.dumps(schemas))


@contextlib.contextmanager
def printing_to(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        yield


if __name__ == "__main__":
    catalogue.CATALOGUE = with_extra(catalogue.CATALOGUE)
    main(Path(sys.argv[1]))
