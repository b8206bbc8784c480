"""Says in words why a layer has its verdict, and lists the numbers on which it rests."""

from typing import Optional

from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import NEAR_SHARE, Verdict

Facts = tuple[tuple[str, str], ...]


def why(layer: LayerResult) -> str:
    """Returns why `layer` has its verdict, without the word of the verdict."""
    reason, verdict = layer.reason, layer.verdict
    if verdict is Verdict.NOT_ASSESSED:
        return _not_assessed(layer)
    if verdict is Verdict.FULL_RANK:
        lost = "no direction is lost"
        if layer.evidence is not None and layer.evidence.harmless_directions:
            lost = "no direction that matters is lost"
        return f"{lost}; {reason}." if reason else f"{lost}; {_ratio(layer)}."
    if verdict is Verdict.NEAR_COLLAPSE:
        near = (
            f"no direction is lost yet, but {_ratio(layer)}; below {NEAR_SHARE:g} of it, at the"
            " level of the layer's own bulk, a direction is nearly lost"
        )
        return f"{near}; {reason}." if reason else f"{near}."
    reason = reason or f"{layer.lost_directions} of {layer.M} directions are lost"
    return f"{reason}. {_lost(layer)}" if layer.lost_directions else f"{reason}."


def sentence_of(layer: LayerResult) -> str:
    """Returns the verdict on `layer` and why it has it."""
    return f"{_capital(layer.verdict.words)}: {why(layer)}"


def facts_of(layer: LayerResult) -> Facts:
    """Returns labels and texts of the numbers that decide the verdict on `layer`."""
    evidence = layer.evidence
    found = [("lost", f"{layer.lost_directions} of {layer.M} ({layer.lost_percent:.3g}%)")]
    if evidence is not None and evidence.harmless_directions:
        found.append(("harmless", f"{evidence.harmless_directions} of {layer.M}"))
    if evidence is not None and evidence.hidden_directions:
        found.append(("hidden", f"{evidence.hidden_directions} of {layer.M}"))
    found.append(("σ_min", text(layer.min_singular_value, 3)))
    if evidence is None:
        return tuple(found)
    found.append(("limit", text(evidence.limit, 3)))
    found.append(("σ_min over the null", text(evidence.null_ratio, 3)))
    found.append(("weights over a usual start", text(evidence.start_ratio, 3)))
    if evidence.noise_floor is not None:
        found.append(("noise floor", text(evidence.noise_floor, 3)))
    if evidence.base_lost is not None:
        found.append(("lost in the base", str(evidence.base_lost)))
    causes = [_cause(x.cause.value, x.evidence) for x in evidence.findings]
    found.append(("cause", ", ".join(causes) or NOTHING))
    return tuple(found)


def _cause(cause: str, share: Optional[float]) -> str:
    return cause if share is None else f"{cause} (explains {100 * share:.3g}%)"


def _not_assessed(layer: LayerResult) -> str:
    if layer.M > 1:
        return "this report has no evidence on it."
    if layer.lost_directions:
        return "a single row or column is not judged; all its weights are zero."
    return "a single row or column has no direction to lose."


def _ratio(layer: LayerResult) -> str:
    ratio = layer.evidence.null_ratio if layer.evidence is not None else None
    smallest = f"the smallest singular value is {text(layer.min_singular_value, 3)}"
    if not ratio:
        return smallest
    return (
        f"{smallest}, {text(ratio, 2)} of the median for random entries of the same size and"
        " variance"
    )


def _lost(layer: LayerResult) -> str:
    """Returns what makes the lost directions lost: the limit, or the size of all weights."""
    evidence = layer.evidence
    if evidence is None or layer.max_singular_value == 0:
        return _capital(f"{_ratio(layer)}.")
    if any(finding.cause is Cause.DECAYED for finding in evidence.findings):
        return (
            f"The weights are {text(evidence.start_ratio, 2)} of the smallest usual initialization."
        )
    ratio = _ratio(layer)
    if not evidence.limit:
        return _capital(f"{ratio}.")
    return f"Singular values up to {text(evidence.limit, 3)} count as lost; {ratio}."


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
