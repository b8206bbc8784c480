"""The published tables of the study of 2018, which come with the package."""

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from allennlp_analyze import data
from allennlp_analyze.errors import SourceError

ALLENNLP_TABLE = "allennlp_2018.csv"
ALPHA_TABLE = "imagenet_2018_alpha.csv"
MIN_SINGULAR_VALUE_TABLE = "imagenet_2018_min_singular_value.csv"
# The study's histograms over all AllenNLP layers counted this model twice.
COUNTED_TWICE = "ner"
PUBLISHED = data.HERE / "published"


@dataclass(frozen=True)
class PublishedMatrix:
    """One row: a fully connected matrix W (N x M, N >= M); unpublished numbers are None.

    `module_index` is its position in `model.modules()`; `best_fit` is "PL" or "TPL".
    """

    model: str
    module_index: int
    N: int
    M: int
    alpha: Optional[float]
    D: Optional[float]
    min_singular_value: Optional[float]
    best_fit: Optional[str] = None

    @property
    def Q(self) -> float:
        """The aspect ratio N / M >= 1."""
        return self.N / self.M


def table_path(name: str) -> Path:
    """Returns the path of the published table `name`. Raises `SourceError` if it is missing."""
    path = PUBLISHED / name
    if path.is_file():
        return path
    raise SourceError(f"{name}: missing from this installation; reinstall allennlp_analyze")


def allennlp_matrices() -> tuple[PublishedMatrix, ...]:
    """Returns the rows of the four AllenNLP models, each once, including M = 1 (no fit)."""
    return tuple(_matrix(row, row["min_singular_value"]) for row in _rows(ALLENNLP_TABLE))


def as_counted(matrices: Iterable[PublishedMatrix]) -> tuple[PublishedMatrix, ...]:
    """Returns AllenNLP's `matrices` as the study's histograms counted them.

    They count one model twice and omit the rows without a fit.
    """
    fitted = [matrix for matrix in matrices if matrix.alpha is not None]
    return (*fitted, *(matrix for matrix in fitted if matrix.model == COUNTED_TWICE))


def distinct(matrices: Iterable[PublishedMatrix]) -> tuple[PublishedMatrix, ...]:
    """Returns the rows that differ in shape or any number; a part shared by models appears once."""
    found = {
        (matrix.N, matrix.M, matrix.alpha, matrix.D, matrix.min_singular_value): matrix
        for matrix in matrices
    }
    return tuple(found.values())


def imagenet_matrices() -> tuple[PublishedMatrix, ...]:
    """Returns the rows of torchvision's models.

    The smallest singular value is published for Q > 1.1 only. The two tables are joined by model
    and shape, and in order within these.
    """
    smallest: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in _rows(MIN_SINGULAR_VALUE_TABLE):
        smallest[_place(row)].append(row["min_singular_value"])
    matrices = []
    for row in _rows(ALPHA_TABLE):
        known = smallest[_place(row)]
        matrices.append(_matrix(row, known.pop(0) if known else "nan"))
    return tuple(matrices)


def _matrix(row: Mapping[str, str], min_singular_value: str) -> PublishedMatrix:
    """Returns what `row` of a table says; its smallest singular value may be in another table."""
    return PublishedMatrix(
        model=row["model"],
        module_index=int(row["module_index"]),
        N=int(row["N"]),
        M=int(row["M"]),
        alpha=_number(row["alpha"]),
        D=_number(row["D"]),
        min_singular_value=_number(min_singular_value),
        best_fit=row.get("best_fit"),
    )


def _place(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["model"], row["M"], row["N"]


def _rows(name: str) -> list[dict[str, str]]:
    with table_path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(cell: str) -> Optional[float]:
    value = float(cell)
    return None if math.isnan(value) else value
