"""Collects the linear layers of a zoo's counted models into arrays, in one pass over millions."""

import math
from array import array
from dataclasses import dataclass

import numpy as np

from allennlp_analyze.zoo.results import ZooReport


@dataclass(frozen=True)
class LinearLayers:
    """One entry for each linear layer, all arrays (n,).

    `model` is the index into the report's models, `layer` that into the model's layers, and `group`
    that into the report's groups. `alpha` is NaN without a fit. `assessed` marks the layers on
    which the verdict on a model is based.
    """

    model: np.ndarray
    layer: np.ndarray
    group: np.ndarray
    sigma_min: np.ndarray
    loss: np.ndarray
    Q: np.ndarray
    alpha: np.ndarray
    assessed: np.ndarray

    def __len__(self) -> int:
        return len(self.model)

    def where(self, mask: np.ndarray) -> "LinearLayers":
        """Returns a copy of the layers that `mask` selects, by bool (n,) or by index."""
        return LinearLayers(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    @property
    def fitted(self) -> "LinearLayers":
        """Returns the layers with a power law."""
        return self.where(self.is_fitted)

    @property
    def is_fitted(self) -> np.ndarray:
        """Returns (n,) bool: which layers have a power law."""
        return ~np.isnan(self.alpha)


def linear_layers(report: ZooReport) -> LinearLayers:
    """Returns the linear layers of the counted models, in the order of the report."""
    groups = {name: index for index, name in enumerate(report.groups)}
    model, layer, group, assessed = (array("i") for _ in range(4))
    sigma_min, loss, ratio, alpha = (array("d") for _ in range(4))
    for index, of in enumerate(report.models):
        if not of.is_counted:
            continue
        for place, found in enumerate(of.outcome.layers):
            if found.kind != "linear":
                continue
            model.append(index)
            layer.append(place)
            group.append(groups[of.group])
            assessed.append(found.is_assessed)
            sigma_min.append(found.min_singular_value)
            loss.append(found.rank_loss_percent)
            ratio.append(found.Q)
            alpha.append(math.nan if found.alpha is None else found.alpha)
    return LinearLayers(
        model=np.array(model),
        layer=np.array(layer),
        group=np.array(group),
        sigma_min=np.array(sigma_min),
        loss=np.array(loss),
        Q=np.array(ratio),
        alpha=np.array(alpha),
        assessed=np.array(assessed, dtype=bool),
    )
