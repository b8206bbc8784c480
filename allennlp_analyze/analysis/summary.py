"""The model in one sentence and a few numbers, from the results of its layers."""

import statistics
from collections import Counter
from collections.abc import Sequence

from allennlp_analyze.analysis.judging import model_verdict
from allennlp_analyze.results.layer import MIN_Q, VERDICTS, LayerResult, Skipped, Summary
from allennlp_analyze.settings import KINDS

NAMED = 3  # layers that one line names


def summarise(layers: Sequence[LayerResult], skipped: Sequence[Skipped]) -> Summary:
    """Summary over `layers` and what was left out.

    The verdict, the minimum and the rank loss are those of the assessed linear layers, the means of
    alpha those of every layer that has a fit. NaN or infinity in any matrix overrules the verdict.
    """
    assessed = [x for x in layers if x.kind == "linear" and x.verdict != "not_assessed"]
    alphas = [x.power_law.alpha for x in layers if x.power_law is not None]
    weakest = min(assessed, key=lambda x: x.min_singular_value, default=None)
    invalid = [x for x in skipped if x.invalid]
    verdict = model_verdict(layers)
    sentence = _sentence(verdict, layers, assessed)
    return Summary(
        verdict="invalid" if invalid else verdict,
        sentence=_invalid_sentence(invalid, sentence) if invalid else sentence,
        n_layers=len(layers),
        n_skipped=len(skipped),
        n_invalid=len(invalid),
        n_assessed=len(assessed),
        layers_by_kind=_counts([x.kind for x in layers], KINDS),
        layers_by_verdict=_counts([x.verdict for x in layers], VERDICTS),
        min_singular_value=weakest.min_singular_value if weakest else None,
        min_singular_value_layer=weakest.name if weakest else None,
        max_rank_loss_percent=max((x.lost_percent for x in assessed), default=None),
        mean_alpha=statistics.fmean(alphas) if alphas else None,
        median_alpha=statistics.median(alphas) if alphas else None,
        n_power_law=len(alphas),
    )


def other_findings(layers: Sequence[LayerResult]) -> tuple[str, ...]:
    """One line when layers that are not linear, and so not in the verdict, have lost rank."""
    found = [
        layer
        for layer in layers
        if layer.kind != "linear" and layer.verdict in ("collapsed", "near_collapse")
    ]
    if not found:
        return ()
    named = ", ".join(f"{x.name} ({x.kind}, {x.verdict})" for x in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (f"beside the linear layers, not at full rank: {named}{more}",)


def _counts(found: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    counts = Counter(found)
    return {name: counts[name] for name in names}


def _layers(count: int) -> str:
    return f"{count} linear layer" + ("" if count == 1 else "s")


def _invalid_sentence(invalid: Sequence[Skipped], others: str) -> str:
    first = f"{invalid[0].parameter}: {invalid[0].reason}"
    if len(invalid) == 1:
        return f"Invalid: a matrix holds NaN or infinity ({first}). The others: {others}"
    return f"Invalid: {len(invalid)} matrices hold NaN or infinity ({first}). The others: {others}"


def _sentence(verdict: str, layers: Sequence[LayerResult], assessed: Sequence[LayerResult]) -> str:
    linear = sum(layer.kind == "linear" for layer in layers)
    if verdict == "not_assessed":
        if linear == 0:
            return "Not assessed: the model has no linear layer."
        return (
            f"Not assessed: none of the {_layers(linear)} has Q = N/M above {MIN_Q} and M above 1."
        )
    weakest = min(assessed, key=lambda x: x.min_singular_value)
    smallest = f"smallest singular value {weakest.min_singular_value:.3g}"
    if verdict == "full_rank":
        subject = "the linear layer" if len(assessed) == 1 else f"all {_layers(len(assessed))}"
        verb = "keeps" if len(assessed) == 1 else "keep"
        return f"Healthy: {subject} with Q > {MIN_Q} {verb} full rank ({smallest})."
    bad = [x for x in assessed if x.verdict == verdict]
    worst = max(bad, key=lambda x: (x.lost_percent, -x.min_singular_value))
    of = f"{len(bad)} of {_layers(len(assessed))} with Q > {MIN_Q}"
    if verdict == "near_collapse":
        verb = "is" if len(bad) == 1 else "are"
        return f"Near collapse: {of} {verb} close to losing rank ({smallest}, in {weakest.name})."
    verb = "has" if len(bad) == 1 else "have"
    detail = f"{worst.lost_directions} of {worst.M} directions lost in {worst.name}"
    return f"Collapsed: {of} {verb} lost rank ({detail})."
