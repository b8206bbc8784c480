"""The linear layers of a zoo's counted models as arrays, gathered in one pass over millions."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from allennlp_analyze.zoo_results import ZooReport


@dataclass(frozen=True)
class LinearLayers:
    """One entry for each linear layer, all arrays (n,).

    `model` is the index into the report's models and `layer` that into the model's layers, `group`
    that into the report's groups. `alpha` is NaN where there is no fit: no page shows it.
    `assessed` marks those that the verdict on a model is about: Q > 1.1.
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
        """Those that `mask` (n,) marks, or names by index."""
        return LinearLayers(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    @property
    def fitted(self) -> "LinearLayers":
        """Those with a power law."""
        return self.where(~np.isnan(self.alpha))

    def by_group(self, groups: int) -> Iterator["LinearLayers"]:
        """Those of each of the `groups` groups, in its order."""
        order = np.argsort(self.group, kind="stable")
        places = np.searchsorted(self.group[order], np.arange(groups + 1))
        for start, end in zip(places[:-1], places[1:]):
            yield self.where(order[start:end])


def linear_layers(report: ZooReport) -> LinearLayers:
    """The linear layers of the models that count, in the order of the report."""
    groups = {name: index for index, name in enumerate(report.groups)}
    of = tuple(array(code) for code in "iiiddddb")
    for index, model in enumerate(report.models):
        if not model.is_counted:
            continue
        for place, layer in enumerate(model.outcome.layers):
            if layer.kind != "linear":
                continue
            alpha = float("nan") if layer.alpha is None else layer.alpha
            numbers = (layer.min_singular_value, layer.rank_loss_percent, layer.Q, alpha)
            entry = (index, place, groups[model.group], *numbers, layer.is_assessed)
            for values, value in zip(of, entry):
                values.append(value)
    *numbers_of, assessed = map(np.array, of)
    return LinearLayers(*numbers_of, assessed.astype(bool))
