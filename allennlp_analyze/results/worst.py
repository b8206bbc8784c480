"""Orders layers from the worst to the best; texts name the first one."""

import math
from collections.abc import Iterable
from typing import Optional

from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import JUDGED_KINDS


def worst_first_key(layer: LayerResult) -> tuple[float, float, float, float]:
    """The sort key of a layer: by verdict, lost directions, null law and smallest singular value.

    Layers that were not judged come last.
    """
    severity = -1 if layer.verdict.severity is None else layer.verdict.severity
    ratio = layer.evidence.null_ratio if layer.evidence else None
    return (
        -severity,
        -layer.lost_percent,
        math.inf if ratio is None else ratio,
        layer.min_singular_value,
    )


def judged_layers(layers: Iterable[LayerResult]) -> list[LayerResult]:
    """Returns the layers of which the worst decides the verdict on the model."""
    return [x for x in layers if x.kind in JUDGED_KINDS and x.verdict.is_judgement]


def with_harmless_directions(layers: Iterable[LayerResult]) -> list[LayerResult]:
    """Returns the layers that have lost directions that do not matter."""
    return [x for x in layers if x.evidence and x.evidence.harmless_directions]


def worst_layer(layers: Iterable[LayerResult]) -> Optional[LayerResult]:
    """Returns the worst of `layers`, the first of equal ones, or None if there are none."""
    return min(layers, key=worst_first_key, default=None)


def most_lost(layers: Iterable[LayerResult]) -> Optional[LayerResult]:
    """Returns the layer that has lost the largest share of its directions, or None."""
    return max(layers, key=lambda x: (x.lost_percent, -x.min_singular_value), default=None)


def weakest(layers: Iterable[LayerResult]) -> Optional[LayerResult]:
    """Returns the layer with the smallest of all smallest singular values, or None."""
    return min(layers, key=lambda x: x.min_singular_value, default=None)
