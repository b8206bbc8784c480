"""Compares the fully connected matrices of ImageNet's models with the study of 2018."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from allennlp_analyze.metrics.power_law import SIGNIFICANT
from allennlp_analyze.reference.comparison import compare_with_reference
from allennlp_analyze.reference.published import PublishedMatrix, imagenet_matrices
from allennlp_analyze.reference.table import Reference
from allennlp_analyze.reports.csv import cell
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.reference import ReferenceNumbers
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.results import DONE, Claim, ZooModel

NAME = "imagenet-2018"
NOT_JUDGED = "random weights"
COLUMNS = (
    *("model", "module_index", "layer", "N", "M", "Q", "alpha", "D", "best_fit"),
    *("min_singular_value", "rank_loss_percent", "published_alpha", "published_D"),
    *("published_best_fit", "published_min_singular_value", "reason", "agreement"),
)


@dataclass(frozen=True)
class ImageNetRow:
    """A matrix of ours and the published one; one of them is None if it has no partner.

    `agreement` is that of `reference.compare_with_reference`, or the reason why there is none.
    """

    model: str
    published: Optional[PublishedMatrix]
    layer: Optional[LayerResult]
    agreement: str

    def cells(self) -> dict[str, Any]:
        """Returns the numbers by `COLUMNS`; missing ones are None."""
        theirs, ours = self.published, self.layer
        side = ours or theirs
        fit = None if ours is None else ours.power_law
        return {
            "model": self.model,
            "module_index": None if theirs is None else theirs.module_index,
            "layer": None if ours is None else ours.name,
            "N": None if side is None else side.N,
            "M": None if side is None else side.M,
            "Q": None if side is None else side.Q,
            "alpha": None if fit is None else fit.alpha,
            "D": None if fit is None else fit.D,
            "best_fit": None if ours is None else best_fit(ours),
            "min_singular_value": None if ours is None else ours.min_singular_value,
            "rank_loss_percent": None if ours is None else ours.rank_loss_percent["rounding"],
            "published_alpha": None if theirs is None else theirs.alpha,
            "published_D": None if theirs is None else theirs.D,
            "published_best_fit": None if theirs is None else theirs.best_fit,
            "published_min_singular_value": (None if theirs is None else theirs.min_singular_value),
            "reason": None if ours is None or ours.evidence is None else ours.evidence.reason,
            "agreement": self.agreement,
        }


def best_fit(layer: LayerResult) -> Optional[str]:
    """Returns "TPL" if the truncated power law is significantly better, else "PL", as in the study.

    Returns None if they were not compared.
    """
    comparisons = None if layer.power_law is None else layer.power_law.comparisons
    if not comparisons or "truncated_power_law" not in comparisons:
        return None
    against = comparisons["truncated_power_law"]
    if against.ratio is None or against.p is None:
        return None
    return "TPL" if against.ratio < 0 and against.p < SIGNIFICANT else "PL"


def imagenet_rows(
    models: Iterable[ZooModel], root: Path, random: bool = False
) -> tuple[ImageNetRow, ...]:
    """The rows of `models`, whose reports are in the zoo's directory `root`.

    A published matrix is that of ours with its shape, both in the order of the model's modules. A
    model that was not analyzed has its published rows alone. Raises `SourceError` for a report that
    cannot be read.
    """
    rows: list[ImageNetRow] = []
    for model in models:
        published = [row for row in imagenet_matrices() if row.model == model.name]
        layers: Sequence[LayerResult] = ()
        if model.outcome.status == DONE:
            found = load_report(root / model.directory).layers
            layers = [layer for layer in found if layer.kind == "linear"]
        rows.extend(_beside(model.name, published, layers, random))
    return tuple(rows)


def _beside(
    model: str, published: Sequence[PublishedMatrix], layers: Sequence[LayerResult], random: bool
) -> Iterator[ImageNetRow]:
    numbers = tuple(
        ReferenceNumbers(
            module_index=row.module_index,
            M=row.M,
            N=row.N,
            alpha=row.alpha,
            D=row.D,
            min_singular_value=row.min_singular_value,
        )
        for row in published
    )
    by_name = {layer.name: layer for layer in layers}
    compared = compare_with_reference(layers, Reference(NAME, "", None, numbers))
    for row in compared.rows:
        theirs = None if row.number is None else published[row.number - 1]
        ours = None if row.ours is None else by_name[row.ours.name or ""]
        judged = not random or row.agreement in ("missing", "extra")
        yield ImageNetRow(model, theirs, ours, row.agreement if judged else NOT_JUDGED)


def rows_claim(
    rows: Iterable[ImageNetRow], data: Optional[str] = None, why_not: Optional[str] = None
) -> Claim:
    """Whether the published numbers are reproduced, in every model that was analyzed.

    Holds when each of its published rows agrees or is within 1%; `why_not` is a reason not to
    judge.
    """
    published = [row for row in rows if row.published is not None]
    analyzed = {row.model for row in published if row.layer is not None}
    judged = [row for row in published if row.model in analyzed]
    good = sum(row.agreement in ("agrees", "close") for row in judged)
    if why_not is None and not judged:
        why_not = "no row has a matrix here"
    return Claim(
        claim="The numbers of ImageNet's models are reproduced",
        published=f"{len(published)} rows",
        ours="" if why_not else f"{good} of {len(judged)} rows agree or are within 1%",
        verdict="not run" if why_not else "holds" if good == len(judged) else "does not hold",
        note=why_not or "Holds when all do; alpha is published to two digits.",
        data=data,
    )


def write_table(rows: Iterable[ImageNetRow], path: Path) -> None:
    """Write `rows` as CSV; an empty cell is what there is not. Raises `OutputError`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: cell(value) for key, value in row.cells().items()} for row in rows)
    write_text(path, text.getvalue())


# Of the printed table: the heading, the column and how its numbers are written.
SHOWN = (
    ("model", "model", "{}"),
    ("module", "module_index", "{}"),
    ("N", "N", "{}"),
    ("M", "M", "{}"),
    ("Q", "Q", "{:.2f}"),
    ("alpha", "alpha", "{:.2f}"),
    ("2018", "published_alpha", "{:.2f}"),
    ("D", "D", "{:.4f}"),
    ("2018", "published_D", "{:.4f}"),
    ("fit", "best_fit", "{}"),
    ("2018", "published_best_fit", "{}"),
    ("sigma_min", "min_singular_value", "{:.3g}"),
    ("2018", "published_min_singular_value", "{:.3g}"),
    ("lost", "rank_loss_percent", "{:.3g}%"),
    ("agreement", "agreement", "{}"),
)


def reasons(rows: Iterable[ImageNetRow]) -> list[str]:
    """A line for each matrix of which a direction is lost or weak, with the cause."""
    return [
        f"{printable(row.model)}: {printable(row.layer.name)}: {row.layer.evidence.reason}"
        for row in rows
        if row.layer is not None and row.layer.evidence and row.layer.evidence.reason
    ]


def format_table(rows: Iterable[ImageNetRow]) -> str:
    """`rows` as text, a line each: every number of ours before what was published."""
    lines = [[heading for heading, _, _ in SHOWN]]
    for row in rows:
        cells = row.cells()
        lines.append(
            [
                "-" if cells[column] is None else printable(how.format(cells[column]))
                for _, column, how in SHOWN
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Texts at the ends to the left, numbers to the right."""
    first, *numbers, last = line
    middle = " ".join(text.rjust(width) for text, width in zip(numbers, widths[1:-1]))
    return f"{first.ljust(widths[0])} {middle} {last}"
