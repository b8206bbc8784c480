"""Describes tensors that wrap another, such as the DTensor of FSDP2."""

import math
from typing import Callable, Optional

from allennlp_analyze.sources.pickles.description import DType, StandIn, TensorRef, Unknown
from allennlp_analyze.text.lines import excerpt

WRAPPER = "_rebuild_wrapper_subclass"
_MAX_PLACEMENTS = 64

Integers = Callable[[object, str], tuple[int, ...]]


def wrapped_tensor(arguments: tuple[object, ...], state: object, integers: Integers) -> TensorRef:
    """Returns torch._utils._rebuild_wrapper_subclass(class, dtype, size, ...) with its attributes.

    A DTensor whose local tensor is the whole one is that tensor. `integers` checks a shape. Raises
    `CheckpointError`.
    """
    cls = arguments[0] if arguments else None
    name = str(cls) if isinstance(cls, Unknown) else "an unknown class"
    dtype = arguments[1] if arguments[1:] else None
    size = integers(arguments[2], "shape") if arguments[2:] else ()
    dtype_name = dtype.name if isinstance(dtype, DType) else "unknown"
    # Attributes are a dictionary, or a pair of them if the class has slots.
    found = [x for x in (state if isinstance(state, tuple) else (state,))[:2] if type(x) is dict]
    local, spec = (
        next((x[name] for x in found if name in x), None) for name in ("_local_tensor", "_spec")
    )
    if not name.endswith(".DTensor") or not isinstance(local, TensorRef):
        reason = f"a tensor within a {excerpt(name, 80)}, which is not read"
        return TensorRef(dtype_name, size, unsupported=reason)
    partial = _is_partial(spec)
    if local.shape == size and not partial:
        return local
    return TensorRef(dtype_name, size, unsupported=why_not_whole(_ranks(spec), partial))


def why_not_whole(ranks: Optional[int], partial: bool) -> str:
    """Returns why a DTensor's own values are not the tensor; `ranks` is None if not known."""
    of = "several" if ranks is None else str(ranks)
    what = "partial sums" if partial else "shards"
    return f"a DTensor: one of {of} {what}; save full_tensor() instead"


def _attributes(value: object) -> dict[object, object]:
    attributes = value.state if isinstance(value, StandIn) else None
    return attributes if isinstance(attributes, dict) else {}


def _is_partial(spec: object) -> bool:
    """Whether each rank has one summand of the tensor."""
    placements = _attributes(spec).get("placements")
    found = placements if isinstance(placements, (tuple, list)) else ()
    return any(
        isinstance(x, StandIn) and x.name.endswith("Partial") for x in found[:_MAX_PLACEMENTS]
    )


def _ranks(spec: object) -> Optional[int]:
    """The number of ranks of the mesh, None if it is not known."""
    mesh = _attributes(_attributes(spec).get("mesh"))
    for name in ("_rank_map", "mesh", "_mesh"):
        ranks = mesh.get(name)
        if isinstance(ranks, TensorRef):
            return math.prod(ranks.shape)
    return None
