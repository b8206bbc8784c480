"""The data for the figures of a zoo: its linear layers, the look of each group, and losses."""

from dataclasses import dataclass, field, replace

import numpy as np

from allennlp_analyze.reports.figures.layers import Look
from allennlp_analyze.reports.figures.style import GREY, GROUP_LOOKS
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.names import printable, shorten
from allennlp_analyze.zoo.reports.arrays import LinearLayers, linear_layers
from allennlp_analyze.zoo.results import ZooReport

# Cells for the name of a group, in every figure.
GROUP_WIDTH = 18
NO_GROUP = "(no group)"
OTHERS_HATCH, OTHERS_MARKER = "////", "X"


@dataclass(frozen=True)
class ModelLoss:
    """The largest rank loss of a model's linear layer, in percent of M.

    `look` is the index of the look of the model's group; `n_losing` of its `n_layers` linear layers
    lose rank.
    """

    name: str
    look: int
    percent: float
    n_losing: int
    n_layers: int


@dataclass(frozen=True)
class ZooPoints:
    """All linear layers of the `n_models` counted models; `layers.group` is an index into `looks`.

    `losses` has the models that lose rank, the worst first.
    """

    looks: tuple[Look, ...]
    n_models: int
    losses: tuple[ModelLoss, ...] = field(repr=False)
    layers: LinearLayers = field(repr=False)


def zoo_points(report: ZooReport) -> ZooPoints:
    """Returns the data for the figures of `report`."""
    layers = linear_layers(report)
    looks, look_of = _looks(report.groups, np.bincount(layers.group, minlength=len(report.groups)))
    layers = replace(layers, group=look_of[layers.group])
    losses = _losses(report, layers)
    return ZooPoints(looks, len(report.counted), losses, layers)


def group_name(name: str) -> str:
    """Returns the name of a group for figures."""
    return shorten(printable(name), GROUP_WIDTH) or NO_GROUP


def _looks(groups: tuple[str, ...], sizes: np.ndarray) -> tuple[tuple[Look, ...], np.ndarray]:
    """Returns the looks in the order of the groups, and the index of each group's look (n,).

    The groups with most linear layers by `sizes` (n,) have their own look; all others share one.
    """
    with_layers = np.flatnonzero(sizes)
    most = np.argsort(-sizes[with_layers], kind="stable")[: len(GROUP_LOOKS)]
    shown = with_layers[np.sort(most)]
    looks = [
        Look(group_name(groups[index]), colour, marker)
        for index, (marker, colour) in zip(shown, GROUP_LOOKS)
    ]
    n_others = len(with_layers) - len(shown)
    if n_others:
        label = count(n_others, "other group")
        looks.append(Look(label, GREY, OTHERS_MARKER, OTHERS_HATCH))
    look_of = np.full(len(groups), len(shown))
    look_of[shown] = np.arange(len(shown))
    return tuple(looks), look_of


def _losses(report: ZooReport, layers: LinearLayers) -> tuple[ModelLoss, ...]:
    """Reduce the layers of each model to one; `layers` are in the order of the models."""
    starts = np.flatnonzero(np.diff(layers.model, prepend=-1))
    if not len(starts):
        return ()
    worst = np.maximum.reduceat(layers.loss, starts)
    n_losing = np.add.reduceat((layers.loss > 0).astype(int), starts)
    n_layers = np.diff(starts, append=len(layers))
    order = np.argsort(-worst, kind="stable")[: np.count_nonzero(worst)]
    return tuple(
        ModelLoss(
            report.models[layers.model[starts[place]]].name,
            int(layers.group[starts[place]]),
            float(worst[place]),
            int(n_losing[place]),
            int(n_layers[place]),
        )
        for place in order
    )
