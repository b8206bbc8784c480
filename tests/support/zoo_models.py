"""Models of a zoo with given numbers, and those that the study of 2018 published."""

from collections.abc import Iterable
from typing import Any, Optional

from allennlp_analyze.reference.published import PublishedMatrix
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.zoo.results import DONE, ModelOutcome, ZooLayer, ZooModel


def zoo_layer(
    n: int = 20,
    m: int = 10,
    smallest: float = 1.0,
    alpha: Optional[float] = 3.0,
    d: Optional[float] = 0.05,
    **changes: Any,
) -> ZooLayer:
    numbers: dict[str, Any] = {
        "name": "layer",
        "kind": "linear",
        "N": n,
        "M": m,
        "min_singular_value": smallest,
        "rank_loss_percent": 0.0,
        "alpha": alpha,
        "D": d,
        "verdict": Verdict.FULL_RANK,
    }
    return ZooLayer(**{**numbers, **changes})


def zoo_model(layers: Iterable[ZooLayer], name: str = "model", group: str = "group") -> ZooModel:
    outcome = ModelOutcome(DONE, "0" * 64, layers=tuple(layers))
    return ZooModel(name, group, f"{name}.tar.gz", f"models/{name}", outcome)


def as_models(matrices: Iterable[PublishedMatrix]) -> list[ZooModel]:
    """Models whose layers have exactly the published numbers.

    Where the smallest singular value is not published (Q <= 1.1) they get 0.
    """
    layers: dict[str, list[ZooLayer]] = {}
    for row in matrices:
        layer = zoo_layer(row.N, row.M, row.min_singular_value or 0.0, row.alpha, row.D)
        layers.setdefault(row.model, []).append(layer)
    return [zoo_model(of, name) for name, of in layers.items()]
