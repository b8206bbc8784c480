"""The texts about the changes of weights: a sentence for a layer, and one for the model."""

from collections import Counter
from collections.abc import Sequence

from allennlp_analyze.compare.results import LayerDelta
from allennlp_analyze.results.delta import Delta, Edge, Movement
from allennlp_analyze.text.counts import count, percent

# A smaller rest is not given as a number.
SHOWN_REST = 1e-4


def delta_sentence(change: LayerDelta) -> str:
    """Returns one sentence about the change of a layer."""
    delta = change.delta
    if delta is None:
        return f"{change.name}: the change was not measured ({change.reason})."
    size = f", by {percent(delta.relative_norm)} of its norm" if delta.relative_norm else ""
    if delta.movement is Movement.UNCHANGED:
        return f"{change.name}: unchanged."
    if delta.movement is Movement.ROUNDING:
        return f"{change.name}: the change is within rounding ({_types(delta)}){size}."
    if delta.movement is Movement.NOISE:
        return f"{change.name}: changed in no direction more than noise would{size}."
    words = f"moved in {delta.n_directions} of {count(delta.M, 'direction')}{size}"
    turned = delta.turned
    if turned is not None and turned.intruder_dimensions:
        words += f"; {turned.intruder_dimensions} of its {turned.n_top} largest are new"
    return f"{change.name}: {words}{_rest(change, delta)}."


def _rest(change: LayerDelta, delta: Delta) -> str:
    """What is beside the directions that moved."""
    if delta.n_directions == delta.M or delta.share is None:
        return ""
    if change.is_adapter or delta.share == 1.0:
        return "; the rest is unchanged"
    rest = 1 - delta.share
    size = f" ({percent(rest)} of the change)" if rest >= SHOWN_REST else ""
    what = "noise" if delta.edge_source is Edge.BULK else "within rounding"
    return f"; the rest{size} is {what}"


def _types(delta: Delta) -> str:
    one, other = delta.precisions
    return one if one == other else f"{one} and {other}"


def deltas_sentence(name: str, changes: Sequence[LayerDelta]) -> str:
    """Returns what moved from A to the model `name`, in one sentence."""
    measured = [x.delta for x in changes if x.delta is not None]
    if not measured:
        return f"No change of weights between A and {name} could be measured."
    found = Counter(delta.movement for delta in measured)
    parts = [f"{count(found[m], 'layer')} {words}" for m, words in _WORDS.items() if found[m]]
    moved = [x for x in changes if x.delta is not None and x.delta.movement is Movement.MOVED]
    if moved:
        farthest = max(moved, key=lambda x: (x.delta and x.delta.relative_norm) or 0.0)
        parts.append(f"the farthest: {delta_sentence(farthest)[:-1]}")
    missing = len(changes) - len(measured)
    if missing:
        parts.append(f"{missing} not measured")
    return f"Change of the weights from A to {name}: {'; '.join(parts)}."


_WORDS = {
    Movement.MOVED: "moved",
    Movement.NOISE: "changed like noise",
    Movement.ROUNDING: "within rounding",
    Movement.UNCHANGED: "unchanged",
}
