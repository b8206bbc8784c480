"""The model's named tensors in what a checkpoint holds, which may wrap them."""

from collections.abc import Mapping

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.description import TensorRef, printable

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net")
# What stands beside the model in a training checkpoint; tensors there are not the model's.
_TRAINING = ("optimizer", "optimizer_state_dict", "optimizer_state", "optimizer_states", "epoch")
_MAX_WRAPPED = 4
_MAX_NAME = 10_000
_DATA_PARALLEL = "module."


def find_state_dict(described: object) -> dict[str, TensorRef]:
    """The tensors of the model by name, in order. {} for a model without parameters.

    Raises `CheckpointError` when there is something else than a state dict.
    """
    for _ in range(_MAX_WRAPPED):
        inner = _unwrapped(described)
        if inner is None:
            break
        described = inner
    if isinstance(described, TensorRef):
        return {"tensor": described}
    if not isinstance(described, Mapping):
        raise CheckpointError(f"holds a {_kind(described)}, not a state dict of named tensors")
    tensors = _tensors(described)
    if described and not tensors:
        keys = ", ".join(printable(key, 40) for key in list(described)[:8] if isinstance(key, str))
        raise CheckpointError(f"holds no tensors of a model; its keys are: {keys or 'not names'}")
    if any(len(name) > _MAX_NAME for name in tensors):
        raise CheckpointError(f"names a tensor with more than {_MAX_NAME} characters")
    return _without_data_parallel(tensors)


def _unwrapped(described: object) -> object:
    """The state dict inside a wrapper; None when `described` is to be taken as it is."""
    if not isinstance(described, Mapping):
        return None
    # A loss or a random generator's state beside the wrapper is not a model.
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
    """Without the prefix that torch.nn.DataParallel gives to every name."""
    if not all(name.startswith(_DATA_PARALLEL) for name in tensors):
        return tensors
    return {name[len(_DATA_PARALLEL) :]: ref for name, ref in tensors.items()}


def _kind(described: object) -> str:
    return type(described).__name__ if described is not None else "nothing"
