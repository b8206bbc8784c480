"""Finds the model's named tensors in the contents of a checkpoint, which may wrap them."""

from collections.abc import Mapping

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.description import TensorRef
from allennlp_analyze.text.lines import excerpt

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net")
# Keys beside the model in a training checkpoint; their tensors do not belong to the model.
_TRAINING = ("optimizer", "optimizer_state_dict", "optimizer_state", "optimizer_states", "epoch")
_MAX_WRAPPED = 4
_DATA_PARALLEL = "module."


def find_state_dict(described: object) -> dict[str, TensorRef]:
    """Returns the tensors of the model by name, in order; {} for a model without parameters.

    Raises `CheckpointError` if `described` is not a state dict.
    """
    for _ in range(_MAX_WRAPPED):
        inner = _unwrapped(described)
        if inner is None:
            break
        described = inner
    if isinstance(described, TensorRef):
        return {"tensor": described}
    if not isinstance(described, Mapping):
        raise CheckpointError(f"contains a {_kind(described)}, not a state dict of named tensors")
    tensors = _tensors(described)
    if described and not tensors:
        keys = ", ".join(excerpt(key, 40) for key in list(described)[:8] if isinstance(key, str))
        raise CheckpointError(f"contains no model tensors; its keys are: {keys or 'not strings'}")
    return _without_data_parallel(tensors)


def _unwrapped(described: object) -> object:
    """Returns the state dict inside a wrapper, or None if `described` is not a wrapper."""
    if not isinstance(described, Mapping):
        return None
    # Vectors such as a loss or a random generator's state do not make a model.
    matrices = any(len(tensor.shape) > 1 for tensor in _tensors(described).values())
    if matrices and not any(key in described for key in _TRAINING):
        return None
    for key in WRAPPERS:
        inner = described.get(key)
        if isinstance(inner, Mapping) and inner:
            return inner
    return None


def _tensors(mapping: Mapping[object, object]) -> dict[str, TensorRef]:
    return {
        key: value
        for key, value in mapping.items()
        if isinstance(key, str) and isinstance(value, TensorRef)
    }


def _without_data_parallel(tensors: dict[str, TensorRef]) -> dict[str, TensorRef]:
    """Remove the prefix that torch.nn.DataParallel adds to every name."""
    if not all(name.startswith(_DATA_PARALLEL) for name in tensors):
        return tensors
    return {name[len(_DATA_PARALLEL) :]: ref for name, ref in tensors.items()}


def _kind(described: object) -> str:
    return type(described).__name__ if described is not None else "nothing"
