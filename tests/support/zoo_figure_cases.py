"""Zoos of every kind that figures may have to show."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.results.verdict import MIN_Q, Verdict
from allennlp_analyze.zoo.results import ZooLayer, ZooModel, ZooReport
from tests.support.commands import ROOT
from tests.support.figure_cases import CASES, LONG_NAME
from tests.support.report_factory import ODD_NAMES, make_report
from tests.support.zoo_factory import (
    done,
    failed,
    layers_zoo,
    make_model,
    make_zoo,
    zoo_layer,
)

PUBLISHED = ROOT / "allennlp_analyze" / "data" / "published"


def a_layer(
    N: int = 30,
    M: int = 10,
    smallest: float = 0.5,
    loss: float = 0.0,
    alpha: Optional[float] = 3.0,
    kind: str = "linear",
) -> ZooLayer:
    assessed = Verdict.COLLAPSED if loss else Verdict.FULL_RANK
    verdict = assessed if N > MIN_Q * M else Verdict.NOT_ASSESSED
    return ZooLayer("layer", kind, N, M, smallest, loss, alpha, None, verdict)


def a_model(layers: Sequence[ZooLayer], name: str = "model", group: str = "group") -> ZooModel:
    return make_model(done(make_report(), layers=tuple(layers)), name, group)


def drawn_by_lot(n_models: int, n_groups: int, per_model: int = 25, seed: int = 0) -> ZooReport:
    """Layers as large models have them: repeated in every model, and zeros among them."""
    rng = np.random.default_rng(seed)
    models = []
    of = a_model([])
    for index in range(n_models):
        group = index % n_groups
        M = rng.integers(10, 1000, per_model)
        N = (M * rng.choice([1, 1.5, 2, 3, 4], per_model)).astype(int)
        kept = rng.random(per_model) > 0.01
        smallest = np.exp(rng.normal(0.2 * group - 2, 1.5, per_model)) * kept
        loss = rng.random(per_model) * (rng.random(per_model) > 0.9)
        alpha = 2 + rng.gamma(2, 1, per_model)
        columns = (column.tolist() for column in (N, M, smallest, loss, alpha))
        outcome = replace(of.outcome, layers=tuple(map(a_layer, *columns)))
        models.append(replace(of, name=f"model.{index}", group=f"group {group}", outcome=outcome))
    return make_zoo(models)


ODD_MODELS = (*ODD_NAMES, LONG_NAME, "_hidden", "\u6f22" * 80)


def oddly_named(names: Sequence[str] = ODD_MODELS) -> ZooReport:
    zoo = drawn_by_lot(len(names), len(names), 9)
    return make_zoo(replace(model, name=name, group=name) for model, name in zip(zoo.models, names))


def published() -> ZooReport:
    """The matrices of the 2018 study, with what it says of each."""
    models: dict[tuple[str, str], list[ZooLayer]] = {}
    for row in rows("allennlp_2018.csv"):
        alpha = float(row["alpha"])
        fit = None if np.isnan(alpha) else alpha
        layer = a_layer(int(row["N"]), int(row["M"]), float(row["min_singular_value"]), 0, fit)
        models.setdefault(("AllenNLP", row["model"]), []).append(layer)
    smallest = {
        (row["model"], row["M"], row["N"]): float(row["min_singular_value"])
        for row in rows("imagenet_2018_min_singular_value.csv")
    }
    for row in rows("imagenet_2018_alpha.csv"):
        value = smallest.get((row["model"], row["M"], row["N"]), 0.03)
        layer = a_layer(int(row["N"]), int(row["M"]), value, 0, float(row["alpha"]))
        models.setdefault(("ImageNet", row["model"]), []).append(layer)
    return make_zoo(a_model(layers, name, group) for (group, name), layers in models.items())


def rows(name: str) -> "list[dict[str, Any]]":
    with open(PUBLISHED / name, newline="") as file:
        return list(csv.DictReader(file))


ZOOS: dict[str, Callable[[], ZooReport]] = {
    "no layer": lambda: make_zoo([a_model([]), make_model(failed(), "failed")]),
    "no linear layer": lambda: layers_zoo([a_layer(kind="embedding")]),
    "one square layer": lambda: layers_zoo([a_layer(10, 10)]),
    "all zeros": lambda: layers_zoo([a_layer(smallest=0.0, loss=100.0, alpha=None)] * 4),
    "zeros and others": lambda: layers_zoo([a_layer(smallest=0.0), a_layer(smallest=0.009)]),
    "every case": lambda: layers_zoo([zoo_layer(case()) for case in CASES.values()]),
    "large alphas, a tiny loss": lambda: layers_zoo(
        [a_layer(9216, 4096, loss=100 / 4096), *(a_layer(alpha=10.0**k) for k in range(9))]
    ),
    "published": published,
    "40 groups": lambda: drawn_by_lot(80, 40, 5),
    "odd names": oddly_named,
    "22,500 layers": lambda: drawn_by_lot(900, 3),
}
