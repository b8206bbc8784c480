"""Compares a baseline with each candidate: what collapsed, recovered or moved."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Optional

from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.measure import select
from allennlp_analyze.analysis.summary import summarize
from allennlp_analyze.compare.growth import attention_growth
from allennlp_analyze.compare.matching import match_layers
from allennlp_analyze.compare.results import (
    ComparedModel,
    ComparisonReport,
    Failure,
    LayerPair,
    ModelComparison,
    Unmatched,
    letter,
)
from allennlp_analyze.compare.wording import (
    adapters_sentence,
    comparison_sentence,
    comparison_warnings,
    evidence_line,
)
from allennlp_analyze.errors import SourceError
from allennlp_analyze.metrics.distances import ks_distance, spectral_distance
from allennlp_analyze.results.layer import LayerResult, ModelReport, Skipped
from allennlp_analyze.settings import Settings

# The rounding error of a difference of two percentages.
ROUNDING = 1e-9


def compare_models(
    baseline: ComparedModel, candidates: Sequence[ComparedModel], allowed_rank_loss: float = 0.0
) -> ComparisonReport:
    """Compare every candidate with the baseline; `failures` list what got worse than allowed.

    A layer (of any kind) fails if it is judged in the baseline and

    - its verdict got worse, in the order of their severity;
    - its share of lost directions (`lost_percent`) grew by more than `allowed_rank_loss` percentage
      points, which applies to layers that have already lost rank in the baseline;
    - it has no counterpart in the candidate.
    """
    compared = [
        _compare(baseline.report, model, letter(index), allowed_rank_loss)
        for index, model in enumerate(candidates, start=1)
    ]
    return ComparisonReport(tool_info(), baseline, tuple(compared), allowed_rank_loss)


def restricted(model: ComparedModel, settings: Settings) -> ComparedModel:
    """Returns `model` with only the layers that `settings.kinds` and `settings.layers` select.

    Raises `SourceError` if they select none.
    """
    report = model.report
    if settings.kinds is None and settings.layers is None:
        return model
    layers = tuple(select(report.layers, settings))
    if not layers and (report.layers or not report.adapters):
        raise SourceError(
            f"{model.label}: kinds and layers select none of its {len(report.layers)} layers"
        )
    own = report.settings
    choices = {
        "kinds": _both_kinds(own.get("kinds"), settings.kinds),
        "layers": own.get("layers") or settings.layers,
    }
    summary = summarize(layers, report.skipped, report.adapters)
    report = replace(report, layers=layers, summary=summary, settings={**own, **choices})
    return replace(model, report=report)


def _both_kinds(own: object, wanted: Optional[Sequence[str]]) -> object:
    if not isinstance(own, (list, tuple)) or wanted is None:
        return own or wanted
    return [kind for kind in own if kind in wanted]


def _compare(
    baseline: ModelReport, candidate: ComparedModel, name: str, allowed: float
) -> ModelComparison:
    report = candidate.report
    left_out = {tensor.parameter: tensor for tensor in baseline.skipped}
    new_left_out = {tensor.parameter: tensor for tensor in report.skipped}
    matches = match_layers(baseline.layers, report.layers, {*left_out, *new_left_out})
    pairs = tuple(_pair(baseline.layers[i], report.layers[j], how) for i, j, how in matches)
    missing = _unmatched(baseline.layers, {i for i, _, _ in matches}, new_left_out)
    sentence = None
    if report.adapters and not report.layers:
        missing, sentence = (), adapters_sentence(name, len(report.adapters))
    added = _unmatched(report.layers, {j for _, j, _ in matches}, left_out)
    was_invalid = {tensor.parameter for tensor in baseline.skipped if tensor.invalid}
    new_invalid = tuple(
        tensor
        for tensor in report.skipped
        if tensor.invalid and tensor.parameter not in was_invalid
    )
    return ModelComparison(
        letter=name,
        candidate=candidate,
        pairs=pairs,
        missing=missing,
        added=added,
        new_invalid=new_invalid,
        worse=tuple(_worse(pairs, new_invalid)),
        failures=tuple(_failures(pairs, missing, new_invalid, name, allowed)),
        warnings=tuple(comparison_warnings(baseline, report, name)),
        sentence=sentence or comparison_sentence(name, pairs, missing, added, new_invalid),
        attention=attention_growth(baseline, report, pairs),
    )


def _pair(baseline: LayerResult, candidate: LayerResult, matched_by: str) -> LayerPair:
    values = baseline.singular_values, candidate.singular_values
    return LayerPair(
        baseline, candidate, matched_by, spectral_distance(*values), ks_distance(*values)
    )


def _unmatched(
    layers: Sequence[LayerResult], matched: set[int], left_out: dict[str, Skipped]
) -> tuple[Unmatched, ...]:
    found = []
    for index, layer in enumerate(layers):
        if index not in matched:
            tensor = left_out.get(layer.parameter)
            reason, invalid = (tensor.reason, tensor.invalid) if tensor else (None, False)
            found.append(Unmatched(layer, reason, invalid))
    return tuple(found)


def _worst_first(pairs: Sequence[LayerPair]) -> list[LayerPair]:
    return sorted(pairs, key=lambda pair: pair.place)


def _invalid(new_invalid: Sequence[Skipped]) -> Iterator[Failure]:
    for tensor in new_invalid:
        yield Failure(tensor.parameter, f"contains NaN or infinity: {tensor.reason}")


def _worse(pairs: Sequence[LayerPair], new_invalid: Sequence[Skipped]) -> Iterator[Failure]:
    """Yields what changed for the worse, with the evidence; the worst first."""
    yield from _invalid(new_invalid)
    for pair in _worst_first(pairs):
        if pair.change in ("collapsed", "worse"):
            yield Failure(pair.baseline.name, evidence_line(pair))


def _failures(
    pairs: Sequence[LayerPair],
    missing: Sequence[Unmatched],
    new_invalid: Sequence[Skipped],
    name: str,
    allowed: float,
) -> Iterator[Failure]:
    yield from _invalid(new_invalid)
    for pair in _worst_first(pairs):
        reason = _why_failed(pair, allowed) if pair.baseline.verdict.is_judgement else None
        if reason is not None:
            yield Failure(pair.baseline.name, reason)
    for gone in missing:
        if gone.layer.verdict.is_judgement and not gone.invalid:
            reason = f": skipped there ({gone.reason})" if gone.reason else ""
            yield Failure(gone.layer.name, f"has no counterpart in {name}{reason}")


def _why_failed(pair: LayerPair, allowed: float) -> Optional[str]:
    loss = pair.measure("lost_percent")
    grown = loss.difference or 0.0
    lost = f"{loss.baseline:.3g}% to {loss.candidate:.3g}%"
    if pair.verdict_got_worse:
        steps = f"from {pair.baseline.verdict} to {pair.candidate.verdict}"
        return f"{steps}, rank loss from {lost}" if grown > 0 else steps
    if grown > allowed + ROUNDING:
        return f"rank loss from {lost}, but only {allowed:g} more points are allowed"
    return None
