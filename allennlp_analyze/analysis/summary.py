"""Summarizes a model in one sentence and a few numbers from the results of its layers."""

import statistics
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Callable, Optional, TypeVar

from allennlp_analyze.options.names import KINDS
from allennlp_analyze.results.adapter import AdapterResult
from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.layer import LayerResult, Skipped, Summary
from allennlp_analyze.results.verdict import (
    JUDGED_KINDS,
    LAYER_VERDICTS,
    MIN_JUDGED_SHARE,
    MIN_Q,
    Verdict,
    worst,
)
from allennlp_analyze.results.worst import (
    judged_layers,
    most_lost,
    weakest,
    with_harmless_directions,
)
from allennlp_analyze.text.counts import count, rounded_percent
from allennlp_analyze.text.lists import enumerated

NAMED = 3  # layers that one line names
Text = TypeVar("Text", bound=str)


def summarize(
    layers: Sequence[LayerResult],
    skipped: Sequence[Skipped],
    adapters: Sequence[AdapterResult] = (),
) -> Summary:
    """Summarize `layers`, the skipped tensors and the adapters.

    The verdict is the worst of the judged layers of JUDGED_KINDS; NaN or infinity in any matrix
    overrides it. If less than MIN_JUDGED_SHARE of the weights were judged, the model is never
    healthy. The minimum and the rank loss are those of the linear layers with Q > MIN_Q, the means
    of alpha those of all layers with a fit. A model without layers that multiply activations is
    judged by its adapters.
    """
    judged = judged_layers(layers)
    assessed = [x for x in judged if x.kind == "linear" and x.Q > MIN_Q]
    alphas = [x.power_law.alpha for x in layers if x.power_law is not None]
    smallest = weakest(assessed)
    invalid = [x for x in skipped if x.invalid]
    share = judged_share(layers, skipped)
    if adapters and not any(x.kind in JUDGED_KINDS for x in layers):
        verdict = worst(x.verdict for x in adapters)
        sentence = f"{_word(verdict)}: {_about(adapters)}."
    else:
        verdict = _verdict(layers, judged, share)
        sentence = _sentence(verdict, layers, judged, assessed, _shares(layers, skipped, judged))
        if adapters:
            sentence = f"{sentence[:-1]}; {_about(adapters)}."
    return Summary(
        verdict=Verdict.INVALID if invalid else verdict,
        sentence=_invalid_sentence(invalid, sentence) if invalid else sentence,
        n_layers=len(layers),
        n_skipped=len(skipped),
        n_invalid=len(invalid),
        n_assessed=len(assessed),
        layers_by_kind=_counts([x.kind for x in layers], KINDS),
        layers_by_verdict=_counts([x.verdict for x in layers], LAYER_VERDICTS),
        min_singular_value=smallest.min_singular_value if smallest else None,
        min_singular_value_layer=smallest.name if smallest else None,
        max_rank_loss_percent=max((x.lost_percent for x in assessed), default=None),
        mean_alpha=statistics.fmean(alphas) if alphas else None,
        median_alpha=statistics.median(alphas) if alphas else None,
        n_power_law=len(alphas),
        n_judged=len(judged),
        judged_percent=None if share is None else 100.0 * share,
    )


def judged_share(layers: Sequence[LayerResult], skipped: Sequence[Skipped]) -> Optional[float]:
    """The share of the model's weights in judged matrices of any kind; None without weights.

    A part of a matrix that was analyzed as a whole, too, counts once.
    """
    counted = _counted_once(layers)
    judged = sum(x.N * x.M for x in counted if x.verdict.is_judgement)
    every = sum(x.N * x.M for x in counted) + sum(x.weights for x in skipped)
    return judged / every if every else None


def unread_share(layers: Sequence[LayerResult], skipped: Sequence[Skipped]) -> float:
    """The share of the model's weights in tensors that cannot be read."""
    unread = sum(x.weights for x in skipped)
    every = sum(x.N * x.M for x in _counted_once(layers)) + unread
    return unread / every if every else 0.0


def _counted_once(layers: Sequence[LayerResult]) -> list[LayerResult]:
    analyzed = {(x.parameter, x.part) for x in layers}
    return [x for x in layers if not _is_within_another(x, analyzed)]


def _is_within_another(layer: LayerResult, analyzed: Collection[tuple[str, Optional[str]]]) -> bool:
    """Whether the tensor, or the part that contains `layer` ("3" of "3, gate"), is analyzed."""
    if layer.part is None:
        return False
    outer = layer.part.rpartition(", ")[0]
    return (layer.parameter, None) in analyzed or (layer.parameter, outer) in analyzed


def other_findings(layers: Sequence[LayerResult]) -> tuple[str, ...]:
    """Returns lines on what the verdict on the model does not say.

    Layers outside the verdict that have lost rank, and dead units that lose no direction.
    """
    found = [
        layer
        for layer in layers
        if layer.kind not in JUDGED_KINDS and layer.verdict.is_worse_than(Verdict.FULL_RANK)
    ]
    lines = []
    if found:
        named = enumerated([f"{x.name} ({x.kind}, {x.verdict})" for x in found], NAMED)
        lines.append(f"outside the verdict, not at full rank: {named}")
    dead = [(x.name, _dead_without_loss(x)) for x in layers]
    named = enumerated([f"{name} ({units})" for name, units in dead if units], NAMED)
    if named:
        lines.append(f"dead units that lose no direction: {named}")
    return tuple(lines)


def _dead_without_loss(layer: LayerResult) -> int:
    findings = layer.evidence.findings if layer.evidence else ()
    return sum(len(x.units) for x in findings if x.cause is Cause.DEAD_OUTPUTS and not x.count)


def _verdict(
    layers: Sequence[LayerResult], judged: Sequence[LayerResult], share: Optional[float]
) -> Verdict:
    verdict = worst(x.verdict for x in judged)
    if verdict is Verdict.NOT_ASSESSED and any(
        x.verdict is Verdict.HIDDEN for x in layers if x.kind in JUDGED_KINDS
    ):
        return Verdict.HIDDEN
    if verdict is Verdict.FULL_RANK and (share or 0.0) < MIN_JUDGED_SHARE:
        return Verdict.NOT_ASSESSED
    return verdict


def _counts(found: Sequence[Text], names: Sequence[Text]) -> dict[Text, int]:
    counts = Counter(found)
    return {name: counts[name] for name in names}


def _layers(number: int) -> str:
    return count(number, "layer")


def _invalid_sentence(invalid: Sequence[Skipped], others: str) -> str:
    first = f"{invalid[0].parameter}: {invalid[0].reason}"
    word, many = _word(Verdict.INVALID), len(invalid)
    which = "a weight contains" if many == 1 else f"{many} weights contain"
    return f"{word}: {which} NaN or infinity ({first}). The others: {others}"


def _sentence(
    verdict: Verdict,
    layers: Sequence[LayerResult],
    judged: Sequence[LayerResult],
    assessed: Sequence[LayerResult],
    shares: str,
) -> str:
    found = FOUND[verdict](judged if verdict.is_judgement else layers)
    parts = [f"{_word(verdict)}: {found}"]
    if shares:
        parts.append(shares)
    smallest = weakest(assessed)
    if smallest is not None:
        parts.append(
            f"smallest singular value of the {count(len(assessed), 'linear layer')}"
            f" with Q > {MIN_Q}: {smallest.min_singular_value:.3g}"
        )
    return "; ".join(parts) + "."


def _shares(
    layers: Sequence[LayerResult], skipped: Sequence[Skipped], judged: Sequence[LayerResult]
) -> str:
    """Which shares of the weights were judged, and could not be read; "" if there is none."""
    share, unread = judged_share(layers, skipped), unread_share(layers, skipped)
    not_read = f"{rounded_percent(100 * unread)}" if unread else ""
    if judged and share is not None:
        found = f"{rounded_percent(100 * share)} of the weights were judged"
        return f"{found}, {not_read} could not be read" if unread else found
    return f"{not_read} of the weights could not be read" if unread else ""


def _word(verdict: Verdict) -> str:
    return verdict.model_words.capitalize()


def _not_assessed(layers: Sequence[LayerResult]) -> str:
    multiplying = [x for x in layers if x.kind in JUDGED_KINDS]
    if not multiplying:
        return "the model has no layer that multiplies activations"
    judged = [x for x in multiplying if x.verdict.is_judgement]
    if not judged:
        return f"none of the {_layers(len(multiplying))} can be judged"
    keep = "which keeps" if len(judged) == 1 else "which keep"
    return f"only {_layers(len(judged))}, {keep} full rank, could be judged"


def _healthy(judged: Sequence[LayerResult]) -> str:
    one = len(judged) == 1
    subject = "the judged layer" if one else f"all {len(judged)} judged layers"
    verb = "keeps" if one else "keep"
    harmless = with_harmless_directions(judged)
    if not harmless:
        return f"{subject} {verb} full rank"
    others = f"; {count(len(harmless) - 1, 'other layer')} like this" if len(harmless) > 1 else ""
    return f"{subject} {verb} full rank, but for harmless directions ({_of(harmless[0])}{others})"


def _near_collapse(judged: Sequence[LayerResult]) -> str:
    bad = [x for x in judged if x.verdict is Verdict.NEAR_COLLAPSE]
    verb = "is" if len(bad) == 1 else "are"
    weakest = min(bad, key=_ratio)
    where = f"smallest singular value {weakest.min_singular_value:.3g}, in {weakest.name}"
    return f"{_share(bad, judged)} {verb} close to losing rank ({where})"


def _ratio(layer: LayerResult) -> float:
    ratio = layer.evidence.null_ratio if layer.evidence else None
    return ratio if ratio is not None else 0.0


def _dead_units(judged: Sequence[LayerResult]) -> str:
    bad = [x for x in judged if x.verdict is Verdict.DEAD_UNITS]
    verb = "has" if len(bad) == 1 else "have"
    return f"{_share(bad, judged)} {verb} dead or copied units ({_of(most_lost(bad))})"


def _collapsed(judged: Sequence[LayerResult]) -> str:
    bad = [x for x in judged if x.verdict is Verdict.COLLAPSED]
    verb = "has" if len(bad) == 1 else "have"
    return f"{_share(bad, judged)} {verb} lost rank ({_of(most_lost(bad))})"


def _hidden(layers: Sequence[LayerResult]) -> str:
    bad = [x for x in layers if x.verdict is Verdict.HIDDEN]
    floors = [x for x in bad if x.evidence is not None and x.evidence.noise_floor is not None]
    what = "the noise of quantization" if floors == bad else "rounding to the stored precision"
    return f"{what} hides the smallest directions of {_layers(len(bad))}"


def _about(adapters: Sequence[AdapterResult]) -> str:
    """What the adapters do, and the one that says most about their verdict."""
    verdict = worst(x.verdict for x in adapters)
    bad = [x for x in adapters if x.verdict is verdict]
    if verdict is not Verdict.FULL_RANK:
        verb = "is" if len(bad) == 1 else "are"
        return (
            f"{len(bad)} of {count(len(adapters), 'adapter')} {verb} {verdict.words}"
            f" ({bad[0].name}: {bad[0].reason})"
        )
    shares = [x.effective_rank / x.r for x in bad if x.effective_rank is not None]
    used = f"{100 * statistics.fmean(shares):.0f}% of their directions" if shares else "nothing"
    return f"{count(len(adapters), 'adapter')} of rank up to {max(x.r for x in bad)} use {used}"


# The text after each verdict on a model: about its judged layers, or all if there is no judgement.
FOUND: dict[Verdict, Callable[[Sequence[LayerResult]], str]] = {
    Verdict.NOT_ASSESSED: _not_assessed,
    Verdict.FULL_RANK: _healthy,
    Verdict.NEAR_COLLAPSE: _near_collapse,
    Verdict.DEAD_UNITS: _dead_units,
    Verdict.COLLAPSED: _collapsed,
    Verdict.HIDDEN: _hidden,
}


def _of(layer: Optional[LayerResult]) -> str:
    """What is wrong with one layer, or harmless in it."""
    if layer is None:
        return ""
    reason = layer.reason or f"{layer.lost_directions} of {layer.M} directions lost"
    return f"{layer.name}: {reason}"


def _share(bad: Sequence[LayerResult], judged: Sequence[LayerResult]) -> str:
    return f"{len(bad)} of {len(judged)} judged {'layer' if len(judged) == 1 else 'layers'}"
