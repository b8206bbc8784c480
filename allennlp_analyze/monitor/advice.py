"""The text of a rank-collapse warning, and what the optimizer does to a layer."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional

from allennlp_analyze.monitor.history import Trouble
from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import NEAR_SHARE, Verdict

# If the smallest singular value has kept this fraction of its earlier value, it has not fallen.
KEPT_SHARE = 0.5
# Causes that say more than a share of lost directions.
_TOLD = (Cause.DECAYED, Cause.ZERO)


class Acting(NamedTuple):
    """What an optimizer does to a parameter; None if its group does not say."""

    learning_rate: Optional[float]
    weight_decay: Optional[float]


def acting(optimizers: Iterable[Any]) -> dict[int, Acting]:
    """Returns what torch optimizers do to each of their parameters, by the `id` of the parameter.

    If several values act on a parameter, the largest counts.
    """
    found: dict[int, Acting] = {}
    for optimizer in optimizers:
        inner = getattr(optimizer, "optimizers", None)  # as in AllenNLP's MultiOptimizer
        if isinstance(inner, Mapping):
            groups = [group for one in inner.values() for group in one.param_groups]
        else:
            groups = optimizer.param_groups
        # DeepSpeed's ZeRO 1 and 2 put flat pieces into the groups, and keep the parameters here.
        whole = getattr(optimizer, "bit16_groups", None) or [group["params"] for group in groups]
        for group, parameters in zip(groups, whole):
            own = Acting(_number(group.get("lr")), _number(group.get("weight_decay")))
            for parameter in parameters:
                before = found.get(id(parameter), own)
                found[id(parameter)] = Acting(*map(_largest, own, before))
    return found


def _number(value: Any) -> Optional[float]:
    return None if value is None else float(value)


def _largest(one: Optional[float], other: Optional[float]) -> Optional[float]:
    return max((value for value in (one, other) if value is not None), default=None)


def sentence(
    layer: LayerResult, trouble: Trouble, weight_decay: Optional[float], penalty: Optional[float]
) -> str:
    """Returns the warning; the layer's name is not made printable.

    `weight_decay` and `penalty` (the L2 penalty in the loss) are those of this layer, or None if
    unknown.
    """
    if trouble.at_first:
        state = trouble.state.words
        return f"{layer.name}: was already {state} at the first check: {_what(layer, trouble)}"
    what = _what(layer, trouble)
    if trouble.fall is not None:
        return f"{layer.name}: {what}; {_cause(weight_decay, penalty)}"
    if trouble.since is None:
        what += f", {Verdict.NEAR_COLLAPSE.words} at the first check"
    else:
        moment = f"{trouble.since.unit} {trouble.since.number:g}"
        what += (
            f" since {moment}" if trouble.state is Verdict.COLLAPSED else f", healthy at {moment}"
        )
    if _others_have_grown(layer, trouble):
        cause = "its smallest singular value did not fall, others grew; too high a learning rate?"
    else:
        cause = _cause(weight_decay, penalty)
    return f"{layer.name}: {what}; {cause}"


def _others_have_grown(layer: LayerResult, trouble: Trouble) -> bool:
    """Whether the smallest singular value is about where it was while the layer was healthy.

    Then the largest values have grown. The verdict does not depend on scale, so it cannot tell this
    from a bulk that has shrunk.
    """
    before = trouble.smallest
    return before is not None and layer.min_singular_value >= KEPT_SHARE * before


def _what(layer: LayerResult, trouble: Trouble) -> str:
    if trouble.fall is not None:
        unit = "check" if trouble.since is None else trouble.since.unit
        return (
            f"its smaller singular values have sunk to {_percent(trouble.fall.share)} of what they"
            f" were, by {_percent(1 - trouble.fall.factor)} each {unit}, and go on sinking"
        )
    if trouble.rms_ratio is not None and layer.verdict is not Verdict.COLLAPSED:
        return f"its weights have decayed to {_percent(trouble.rms_ratio)} of their start"
    if layer.evidence is not None and any(
        finding.cause in _TOLD or trouble.state is Verdict.DEAD_UNITS
        for finding in layer.evidence.findings
    ):
        return layer.evidence.reason
    if trouble.state is Verdict.COLLAPSED:
        return f"{_percent(layer.lost_directions / layer.M)} of directions lost"
    edge = layer.lower_edge
    share = _percent(layer.min_singular_value / edge) if edge else f"below {_percent(NEAR_SHARE)}"
    return f"smallest singular value is now {share} of that of random noise of this size"


def _percent(share: float) -> str:
    """Formats a share in percent; rounding never gives 0 or 100."""
    percent = 100.0 * share
    if 99.0 < percent < 100.0:
        return f"{min(percent, 99.9):.1f}%"
    return f"{percent:.0f}%" if percent >= 9.5 else f"{percent:.2g}%"


def _cause(weight_decay: Optional[float], penalty: Optional[float]) -> str:
    strong = [
        f"{name} {value:g}"
        for name, value in (("weight decay", weight_decay), ("L2 penalty", penalty))
        if value
    ]
    if strong:
        return f"{' and '.join(strong)} {'are' if len(strong) > 1 else 'is'} likely too strong"
    if weight_decay is None:
        return "regularization (weight decay, or a penalty in the loss) is likely too strong"
    if penalty is None:
        return "its weight decay is 0; is there a penalty in the loss, or too high a learning rate?"
    return "no weight decay or penalty acts on it; is the learning rate too high?"
