"""What a warning of rank collapse says, and which weight decay acts on a layer."""

from collections.abc import Iterable, Mapping
from typing import Any, Optional

from allennlp_analyze.monitor.history import Trouble
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import NEAR_SHARE, Verdict

# A smallest singular value that has kept this share of what it was has not fallen.
KEPT_SHARE = 0.5


def weight_decays(optimizers: Iterable[Any]) -> dict[int, float]:
    """The weight decay of the parameters that optimizers of torch hold, by the parameters' `id`.

    Only of those whose group says one. Where several act on a parameter the largest counts.
    """
    found: dict[int, float] = {}
    for optimizer in optimizers:
        inner = getattr(optimizer, "optimizers", None)  # of AllenNLP's MultiOptimizer
        if isinstance(inner, Mapping):
            groups = [group for one in inner.values() for group in one.param_groups]
        else:
            groups = optimizer.param_groups
        for group in groups:
            decay = group.get("weight_decay")
            for parameter in group["params"] if decay is not None else ():
                found[id(parameter)] = max(float(decay), found.get(id(parameter), 0.0))
    return found


def parameters_by_name(model: Any) -> Mapping[str, Any]:
    """The parameters of a `torch.nn.Module` by their names in its state dict, tied ones by each."""
    return {
        f"{path}.{name}" if path else name: parameter
        for path, module in model.named_modules(remove_duplicate=False)
        for name, parameter in module.named_parameters(recurse=False)
    }


def sentence(
    layer: LayerResult, trouble: Trouble, weight_decay: Optional[float], penalty: Optional[float]
) -> str:
    """The warning, without its layer's name made printable.

    `weight_decay` and `penalty` (the L2 penalty of the loss) are those of this layer, None where
    they are not known.
    """
    if trouble.at_first:
        state = trouble.state.words
        return f"{layer.name}: was already {state} when first looked at: {_what(layer, trouble)}"
    what = _what(layer, trouble)
    if trouble.since is None:
        what += f", {Verdict.NEAR_COLLAPSE.words} when first looked at"
    else:
        moment = f"{trouble.since.unit} {trouble.since.number:g}"
        what += f" since {moment}" if trouble.state is Verdict.COLLAPSED else f", well at {moment}"
    if _others_have_grown(layer, trouble):
        cause = "its smallest singular value has not fallen, others grew: a learning rate too high?"
    else:
        cause = _cause(weight_decay, penalty)
    return f"{layer.name}: {what}; {cause}"


def _others_have_grown(layer: LayerResult, trouble: Trouble) -> bool:
    """Whether the smallest singular value is about where it was while the layer was well.

    Then the largest have grown. The verdict, which knows no scale, cannot tell that from a bulk
    that has sunk.
    """
    before = trouble.smallest
    return before is not None and layer.min_singular_value >= KEPT_SHARE * before


def _what(layer: LayerResult, trouble: Trouble) -> str:
    if trouble.state is Verdict.COLLAPSED:
        return f"{_percent(layer.lost_directions / layer.M)} of directions lost"
    edge = layer.lower_edge
    share = _percent(layer.min_singular_value / edge) if edge else f"below {_percent(NEAR_SHARE)}"
    return f"smallest singular value is now {share} of what noise of this size has"


def _percent(share: float) -> str:
    """Two digits where there is a point, and never 0 or 100 for what is not."""
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
        return "regularisation (weight decay, or a penalty in the loss) is likely too strong"
    if penalty is None:
        return "its weight decay is 0: is there a penalty in the loss, or a learning rate too high?"
    return "no weight decay or penalty acts on it: is the learning rate too high?"
