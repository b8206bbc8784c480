"""Computes the totals of a zoo over all models and over each group."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.zoo.results import (
    DONE,
    FAILED,
    CauseTotals,
    ZooLayer,
    ZooModel,
    ZooSummary,
    ZooTotals,
)


def summarize_zoo(models: Sequence[ZooModel]) -> ZooSummary:
    """Returns the totals over `models` and over each group, in the order of their first models."""
    groups: dict[str, list[ZooModel]] = {}
    for model in models:
        groups.setdefault(model.group, []).append(model)
    return ZooSummary(
        totals=zoo_totals(models), groups={name: zoo_totals(of) for name, of in groups.items()}
    )


def zoo_totals(models: Sequence[ZooModel]) -> ZooTotals:
    """Returns the totals of `models`; among equally small layers the first one counts."""
    counted = [model for model in models if model.is_counted]
    summaries = [model.outcome.summary for model in counted if model.outcome.summary is not None]
    # There may be millions of layers, so they are iterated again instead of kept.
    alphas = [layer.alpha for _, layer in _linear(counted) if layer.alpha is not None]
    weakest = min(_assessed(counted), key=lambda pair: pair[1].min_singular_value, default=None)
    statuses = Counter(model.outcome.status for model in models)
    verdicts = Counter(layer.verdict for _, layer in _linear(counted))
    return ZooTotals(
        n_models=len(models),
        n_done=statuses[DONE],
        n_failed=statuses[FAILED],
        n_duplicates=sum(model.duplicate_of is not None for model in models),
        n_checkpoints=sum(model.checkpoint_of is not None for model in models),
        n_counted=len(counted),
        models_by_verdict=_counts((x.verdict for x in summaries), Verdict),
        n_layers=sum(len(model.outcome.layers) for model in counted),
        n_linear=sum(verdicts.values()),
        n_assessed=sum(1 for _ in _assessed(counted)),
        n_power_law=len(alphas),
        layers_by_verdict={verdict: verdicts[verdict] for verdict in LAYER_VERDICTS},
        median_alpha=statistics.median(alphas) if alphas else None,
        max_rank_loss_percent=max(
            (layer.rank_loss_percent for _, layer in _assessed(counted)), default=None
        ),
        min_singular_value=weakest[1].min_singular_value if weakest else None,
        min_singular_value_model=weakest[0].name if weakest else None,
        min_singular_value_layer=weakest[1].name if weakest else None,
        causes=_causes(counted),
    )


def _causes(models: Iterable[ZooModel]) -> tuple[CauseTotals, ...]:
    """Counts layers and models by cause; a layer counts once for each of its causes."""
    of_models: Counter[Cause] = Counter()
    of_layers: Counter[Cause] = Counter()
    lost: Counter[Cause] = Counter()
    harmless: Counter[Cause] = Counter()
    other: Counter[Cause] = Counter()
    for model in models:
        in_model: set[Cause] = set()
        for layer in model.outcome.layers:
            found = layer.causes
            of_layers.update({x.cause for x in found})
            lost.update({x.cause for x in found if x.is_lost and not x.is_harmless})
            harmless.update({x.cause for x in found if x.is_lost and x.is_harmless})
            other.update({x.cause for x in found if not x.is_lost})
            in_model.update(x.cause for x in found)
        of_models.update(in_model)
    order = sorted(of_layers, key=lambda cause: (-of_layers[cause], cause.value))
    return tuple(
        CauseTotals(cause, *(of[cause] for of in (of_models, of_layers, lost, harmless, other)))
        for cause in order
    )


def _linear(models: Iterable[ZooModel]) -> Iterator[tuple[ZooModel, ZooLayer]]:
    for model in models:
        for layer in model.outcome.layers:
            if layer.is_linear:
                yield model, layer


def _assessed(models: Iterable[ZooModel]) -> Iterator[tuple[ZooModel, ZooLayer]]:
    return (pair for pair in _linear(models) if pair[1].is_assessed)


def _counts(found: Iterable[Verdict], verdicts: Iterable[Verdict]) -> dict[Verdict, int]:
    counts = Counter(found)
    return {verdict: counts[verdict] for verdict in verdicts}
