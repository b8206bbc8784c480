"""Finds the model's named tensors in the contents of a checkpoint, which may wrap them."""

from collections.abc import Mapping

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.description import TensorRef
from allennlp_analyze.text.lines import excerpt

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net")
# Keys beside the model in a training checkpoint; their tensors do not belong to the model.
_TRAINING = ("optimizer", "optimizer_state_dict", "optimizer_state", "optimizer_states", "epoch")
_MAX_WRAPPED = 4
_MAX_NAME = 10_000
# What torch's wrappers of a whole model put before every name, one after the other.
_PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel, beside the model


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
    if any(len(name) > _MAX_NAME for name in tensors):
        raise CheckpointError(f"has a tensor name of more than {_MAX_NAME} characters")
    return _without_prefixes(tensors)


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


def _without_prefixes(tensors: dict[str, TensorRef]) -> dict[str, TensorRef]:
    """Remove the prefixes that torch.nn.DataParallel and other wrappers add to every name."""
    prefix = ""
    longest = max(tensors, key=len, default="")
    while found := next((x for x in _PREFIXES if longest.startswith(prefix + x)), None):
        prefix += found
        if not all(name.startswith(prefix) or name == _COUNTER for name in tensors):
            prefix = prefix[: -len(found)]
            break
    return {name.removeprefix(prefix): ref for name, ref in tensors.items()}


def _kind(described: object) -> str:
    return type(described).__name__ if described is not None else "nothing"
