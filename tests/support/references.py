"""The published tables as the study's own CSV has them, and layers with given numbers."""

import csv
import math
from typing import Optional

import numpy as np

from allennlp_analyze.reference.comparison import compare_with_reference
from allennlp_analyze.reference.table import Reference, read_reference
from allennlp_analyze.results.layer import HardRank, LayerResult, PowerLaw, Tolerances
from allennlp_analyze.results.reference import ReferenceComparison, ReferenceNumbers
from allennlp_analyze.results.verdict import Verdict
from tests.support.commands import ROOT

PUBLISHED = ROOT / "allennlp_analyze" / "data" / "published"
MODEL_OF = {"ner-2018": "ner", "parser-2018": "cp", "srl-2018": "srl", "coref-2018": "coref"}


def table(name: str) -> "list[dict[str, str]]":
    with (PUBLISHED / "allennlp_2018.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["model"] == MODEL_OF[name]]


def layer(
    m: int,
    n: int,
    alpha: Optional[float] = None,
    d: float = 0.1,
    smallest: float = 1.0,
    name: str = "layer",
    kind: str = "linear",
    part: Optional[str] = None,
    parameter: Optional[str] = None,
) -> LayerResult:
    """A layer whose largest singular value is ten times its smallest."""
    fit = None if alpha is None else PowerLaw(alpha=alpha, D=d, xmin=1.0, sigma=0.1, n_tail=10)
    values = np.linspace(10 * smallest, smallest, m) if m > 1 else np.array([smallest])
    return LayerResult(
        name=name,
        parameter=f"{name}.weight" if parameter is None else parameter,
        part=part,
        module_index=None,
        kind=kind,
        kind_source="inferred",
        module_class=None,
        shape=(n, m),
        dtype="float32",
        singular_values=values,
        hard_rank=HardRank(m, m, m, m),
        tolerance=Tolerances(0.0, 0.0, 0.0, 0.0),
        metrics={"condition_number": 10.0, "frobenius_norm": 1.0, "stable_rank": 1.0},
        marchenko_pastur=None,
        tikhonov=None,
        power_law=fit,
        power_law_note=None,
        verdict=Verdict.FULL_RANK,
    )


def as_published(name: str) -> "list[LayerResult]":
    """Layers with the numbers of the table, to the last digit."""
    layers = []
    for index, row in enumerate(table(name)):
        alpha = float(row["alpha"])
        layers.append(
            layer(
                int(row["M"]),
                int(row["N"]),
                None if math.isnan(alpha) else alpha,
                float(row["D"]),
                float(row["min_singular_value"]),
                f"layer{index}",
            )
        )
    return layers


def against(name: str, layers: "list[LayerResult]") -> ReferenceComparison:
    return compare_with_reference(layers, read_reference(name))


def of(*rows: ReferenceNumbers) -> Reference:
    return Reference("mine.csv", "a table", None, rows)
