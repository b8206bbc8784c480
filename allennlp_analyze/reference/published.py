"""What the study of 2018 published, as it stands in the tables that come with the package."""

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
# The model that the study's histograms over all AllenNLP layers counted twice.
COUNTED_TWICE = "ner"
PUBLISHED = data.HERE / "published"


@dataclass(frozen=True)
class PublishedMatrix:
    """One row: a fully connected matrix W (N x M, N >= M); None for what is not published.

    `module_index` is its place in `model.modules()`; `best_fit` is "PL" or "TPL".
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
    """Where the published table `name` is. Raises `SourceError` when the installation lacks it."""
    path = PUBLISHED / name
    if path.is_file():
        return path
    raise SourceError(f"{name}: not in this installation; install allennlp_analyze again")


def allennlp_matrices() -> tuple[PublishedMatrix, ...]:
    """The rows of the four AllenNLP models, each once, those of M = 1 (nothing fitted) too."""
    return tuple(
        PublishedMatrix(
            model=row["model"],
            module_index=int(row["module_index"]),
            N=int(row["N"]),
            M=int(row["M"]),
            alpha=_number(row["alpha"]),
            D=_number(row["D"]),
            min_singular_value=_number(row["min_singular_value"]),
        )
        for row in _rows(ALLENNLP_TABLE)
    )


def as_counted(matrices: Iterable[PublishedMatrix]) -> tuple[PublishedMatrix, ...]:
    """AllenNLP's `matrices` as the study's histograms counted them: one model twice, and without
    the rows to which nothing was fitted."""
    fitted = [matrix for matrix in matrices if matrix.alpha is not None]
    return (*fitted, *(matrix for matrix in fitted if matrix.model == COUNTED_TWICE))


def distinct(matrices: Iterable[PublishedMatrix]) -> tuple[PublishedMatrix, ...]:
    """Those that differ in shape or any number: models that share a part show it once."""
    found = {
        (matrix.N, matrix.M, matrix.alpha, matrix.D, matrix.min_singular_value): matrix
        for matrix in matrices
    }
    return tuple(found.values())


def imagenet_matrices() -> tuple[PublishedMatrix, ...]:
    """The rows of torchvision's models; the smallest singular value is published for Q > 1.1 only.

    The two tables belong together by model and shape, rows of the same in order.
    """
    smallest: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in _rows(MIN_SINGULAR_VALUE_TABLE):
        smallest[_place(row)].append(row["min_singular_value"])
    matrices = []
    for row in _rows(ALPHA_TABLE):
        known = smallest[_place(row)]
        matrices.append(
            PublishedMatrix(
                model=row["model"],
                module_index=int(row["module_index"]),
                N=int(row["N"]),
                M=int(row["M"]),
                alpha=_number(row["alpha"]),
                D=_number(row["D"]),
                min_singular_value=_number(known.pop(0)) if known else None,
                best_fit=row["best_fit"],
            )
        )
    return tuple(matrices)


def _place(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["model"], row["M"], row["N"]


def _rows(name: str) -> list[dict[str, str]]:
    with table_path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(cell: str) -> Optional[float]:
    value = float(cell)
    return None if math.isnan(value) else value
