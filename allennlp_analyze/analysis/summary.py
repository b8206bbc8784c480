"""Summarizes a model in one sentence and a few numbers from the results of its layers."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Callable, TypeVar

from allennlp_analyze.options.names import KINDS
from allennlp_analyze.results.layer import LayerResult, Skipped, Summary
from allennlp_analyze.results.verdict import LAYER_VERDICTS, MIN_Q, Verdict, worst
from allennlp_analyze.text.lists import enumerated

NAMED = 3  # layers that one line names
Text = TypeVar("Text", bound=str)


def summarize(layers: Sequence[LayerResult], skipped: Sequence[Skipped]) -> Summary:
    """Summarize `layers` and the skipped tensors.

    The verdict, the minimum and the rank loss are those of the assessed linear layers; the means of
    alpha are over all layers with a fit. NaN or infinity in any matrix overrides the verdict.
    """
    assessed = [x for x in layers if x.kind == "linear" and x.verdict.is_judgement]
    alphas = [x.power_law.alpha for x in layers if x.power_law is not None]
    weakest = min(assessed, key=lambda x: x.min_singular_value, default=None)
    invalid = [x for x in skipped if x.invalid]
    verdict = worst(x.verdict for x in layers if x.kind == "linear")
    sentence = _sentence(verdict, layers, assessed)
    return Summary(
        verdict=Verdict.INVALID if invalid else verdict,
        sentence=_invalid_sentence(invalid, sentence) if invalid else sentence,
        n_layers=len(layers),
        n_skipped=len(skipped),
        n_invalid=len(invalid),
        n_assessed=len(assessed),
        layers_by_kind=_counts([x.kind for x in layers], KINDS),
        layers_by_verdict=_counts([x.verdict for x in layers], LAYER_VERDICTS),
        min_singular_value=weakest.min_singular_value if weakest else None,
        min_singular_value_layer=weakest.name if weakest else None,
        max_rank_loss_percent=max((x.lost_percent for x in assessed), default=None),
        mean_alpha=statistics.fmean(alphas) if alphas else None,
        median_alpha=statistics.median(alphas) if alphas else None,
        n_power_law=len(alphas),
    )


def other_findings(layers: Sequence[LayerResult]) -> tuple[str, ...]:
    """Returns a line if layers that are not linear, and so not in the verdict, have lost rank."""
    found = [
        layer
        for layer in layers
        if layer.kind != "linear" and layer.verdict.is_worse_than(Verdict.FULL_RANK)
    ]
    if not found:
        return ()
    named = enumerated([f"{x.name} ({x.kind}, {x.verdict})" for x in found], NAMED)
    return (f"outside the linear layers, not at full rank: {named}",)


def _counts(found: Sequence[Text], names: Sequence[Text]) -> dict[Text, int]:
    counts = Counter(found)
    return {name: counts[name] for name in names}


def _layers(count: int) -> str:
    return f"{count} linear layer" + ("" if count == 1 else "s")


def _invalid_sentence(invalid: Sequence[Skipped], others: str) -> str:
    first = f"{invalid[0].parameter}: {invalid[0].reason}"
    word, many = _word(Verdict.INVALID), len(invalid)
    which = "a matrix contains" if many == 1 else f"{many} matrices contain"
    return f"{word}: {which} NaN or infinity ({first}). The others: {others}"


def _sentence(
    verdict: Verdict, layers: Sequence[LayerResult], assessed: Sequence[LayerResult]
) -> str:
    found = assessed if verdict.is_judgement else [x for x in layers if x.kind == "linear"]
    return f"{_word(verdict)}: {FOUND[verdict](found)}."


def _word(verdict: Verdict) -> str:
    return verdict.model_words.capitalize()


def _not_assessed(linear: Sequence[LayerResult]) -> str:
    if not linear:
        return "the model has no linear layer"
    return f"none of the {_layers(len(linear))} has Q = N/M above {MIN_Q} and M above 1"


def _healthy(assessed: Sequence[LayerResult]) -> str:
    one = len(assessed) == 1
    subject = "the linear layer" if one else f"all {_layers(len(assessed))}"
    verb = "keeps" if one else "keep"
    return f"{subject} with Q > {MIN_Q} {verb} full rank ({_smallest(_weakest(assessed))})"


def _near_collapse(assessed: Sequence[LayerResult]) -> str:
    bad = [x for x in assessed if x.verdict is Verdict.NEAR_COLLAPSE]
    verb = "is" if len(bad) == 1 else "are"
    weakest = _weakest(assessed)
    where = f"{_smallest(weakest)}, in {weakest.name}"
    return f"{_of(bad, assessed)} {verb} close to losing rank ({where})"


def _dead_units(assessed: Sequence[LayerResult]) -> str:
    bad = [x for x in assessed if x.verdict is Verdict.DEAD_UNITS]
    most = max(bad, key=lambda x: x.lost_percent)
    detail = f"{most.lost_directions} of {most.M} directions lost in {most.name}"
    verb = "has" if len(bad) == 1 else "have"
    return f"{_of(bad, assessed)} {verb} dead units ({detail})"


def _hidden(layers: Sequence[LayerResult]) -> str:
    bad = [x for x in layers if x.verdict is Verdict.HIDDEN]
    return f"rounding to the stored precision hides the smallest directions of {_layers(len(bad))}"


def _collapsed(assessed: Sequence[LayerResult]) -> str:
    bad = [x for x in assessed if x.verdict is Verdict.COLLAPSED]
    most = max(bad, key=lambda x: (x.lost_percent, -x.min_singular_value))
    verb = "has" if len(bad) == 1 else "have"
    detail = f"{most.lost_directions} of {most.M} directions lost in {most.name}"
    return f"{_of(bad, assessed)} {verb} lost rank ({detail})"


# The text after each verdict on a model, about its assessed layers or its lack of them.
FOUND: dict[Verdict, Callable[[Sequence[LayerResult]], str]] = {
    Verdict.NOT_ASSESSED: _not_assessed,
    Verdict.FULL_RANK: _healthy,
    Verdict.NEAR_COLLAPSE: _near_collapse,
    Verdict.DEAD_UNITS: _dead_units,
    Verdict.COLLAPSED: _collapsed,
    Verdict.HIDDEN: _hidden,
}


def _weakest(assessed: Sequence[LayerResult]) -> LayerResult:
    return min(assessed, key=lambda x: x.min_singular_value)


def _smallest(layer: LayerResult) -> str:
    return f"smallest singular value {layer.min_singular_value:.3g}"


def _of(bad: Sequence[LayerResult], assessed: Sequence[LayerResult]) -> str:
    return f"{len(bad)} of {_layers(len(assessed))} with Q > {MIN_Q}"
