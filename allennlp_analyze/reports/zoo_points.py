"""The linear layers of a zoo as arrays, and the look of the groups that they belong to."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from allennlp_analyze.reports.layer_plots import Look
from allennlp_analyze.reports.names import printable, shorten
from allennlp_analyze.reports.style import GREY, GROUP_LOOKS
from allennlp_analyze.zoo_results import ZooLayer, ZooModel, ZooReport

# Cells for the name of a group, in every figure.
GROUP_WIDTH = 18
NO_GROUP = "(no group)"
OTHERS_HATCH, OTHERS_MARKER = "////", "X"


@dataclass(frozen=True)
class ModelLoss:
    """The linear layer of one model that loses most of its rank, in percent of M.

    `group` is an index into the looks; `n_losing` of its `n_layers` linear layers lose any.
    """

    name: str
    group: int
    percent: float
    n_losing: int
    n_layers: int


@dataclass(frozen=True)
class ZooPoints:
    """Every linear layer of the counted models: arrays (n,) in their order.

    `group` indexes `looks`; `alpha` is NaN without a fit. `losses` is one for each model with a
    linear layer, `n_models` how many were counted.
    """

    looks: tuple[Look, ...]
    n_models: int
    losses: tuple[ModelLoss, ...] = field(repr=False)
    group: np.ndarray = field(repr=False)
    Q: np.ndarray = field(repr=False)
    min_singular_value: np.ndarray = field(repr=False)
    alpha: np.ndarray = field(repr=False)


def zoo_points(report: ZooReport) -> ZooPoints:
    """The points of `report`, in one pass over its layers for each array."""
    models = report.counted
    looks, place = _looks(models)
    n_layers = sum(1 for _ in _linear(models))

    def array(values: Iterator[float]) -> np.ndarray:
        return np.fromiter(values, np.float64, n_layers)

    of_models = ((place[model.group], _count(model)) for model in models)
    return ZooPoints(
        looks=looks,
        n_models=len(models),
        losses=tuple(_losses(models, place)),
        group=np.array([group for group, count in of_models for _ in range(count)], np.int8),
        Q=array(layer.Q for layer in _linear(models)),
        min_singular_value=array(layer.min_singular_value for layer in _linear(models)),
        alpha=array(np.nan if layer.alpha is None else layer.alpha for layer in _linear(models)),
    )


def group_name(name: str) -> str:
    """The name of a group as every figure shows it."""
    return shorten(printable(name), GROUP_WIDTH) or NO_GROUP


def _linear(models: tuple[ZooModel, ...]) -> Iterator[ZooLayer]:
    return (layer for model in models for layer in model.outcome.layers if layer.is_linear)


def _count(model: ZooModel) -> int:
    return sum(1 for _ in _linear((model,)))


def _looks(models: tuple[ZooModel, ...]) -> tuple[tuple[Look, ...], dict[str, int]]:
    """A look for each of the groups with most linear layers, and one for all others; which look a
    group has. They come in the order of the groups' first models."""
    sizes: Counter[str] = Counter()
    for model in models:
        sizes[model.group] += _count(model)
    most = {name for name, _ in sizes.most_common(len(GROUP_LOOKS))}
    shown = [name for name in sizes if name in most]
    looks = [
        Look(group_name(name), colour, marker) for name, (marker, colour) in zip(shown, GROUP_LOOKS)
    ]
    n_others = len(sizes) - len(shown)
    if n_others:
        label = "1 other group" if n_others == 1 else f"{n_others} other groups"
        looks.append(Look(label, GREY, OTHERS_MARKER, OTHERS_HATCH))
    place = {name: index for index, name in enumerate(shown)}
    return tuple(looks), {name: place.get(name, len(shown)) for name in sizes}


def _losses(models: tuple[ZooModel, ...], place: dict[str, int]) -> Iterator[ModelLoss]:
    for model in models:
        losses = [layer.rank_loss_percent for layer in _linear((model,))]
        if losses:
            n_losing = sum(loss > 0 for loss in losses)
            yield ModelLoss(model.name, place[model.group], max(losses), n_losing, len(losses))
