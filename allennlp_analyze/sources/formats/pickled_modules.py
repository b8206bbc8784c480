"""Reads the stand-in of a pickled torch.nn.Module: its parameters, buffers and modules."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.sources.pickles.description import StandIn, parts_of

# By the last part of the class's name, in torch's own modules and in transformers'.
_KINDS = {
    "Linear": "linear",
    "NonDynamicallyQuantizableLinear": "linear",
    "Conv1D": "linear",
    "Embedding": "embedding",
    "EmbeddingBag": "embedding",
    "Bilinear": "bilinear",
    "Conv1d": "convolution",
    "Conv2d": "convolution",
    "Conv3d": "convolution",
    "ConvTranspose1d": "convolution",
    "ConvTranspose2d": "convolution",
    "ConvTranspose3d": "convolution",
    "RNN": "recurrent",
    "LSTM": "recurrent",
    "GRU": "recurrent",
    "RNNCell": "recurrent",
    "LSTMCell": "recurrent",
    "GRUCell": "recurrent",
}
_KNOWN = ("torch.nn.", "transformers.", "__torch__.torch.nn.")
_PARAMETERS, _BUFFERS, _MODULES = GROUPS = ("_parameters", "_buffers", "_modules")
_TEMPORARY = "_non_persistent_buffers_set"
# Modules that only wrap another, and its name in them.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
_MAX_WRAPPED = 8
# A key of our own: tensors of a module that does not say what they are.
UNDECLARED = "(undeclared)"


@dataclass(frozen=True)
class Member:
    """What a module has under a name.

    `kind` and `is_buffer` are those of a tensor. A temporary buffer is not in the state dict, and
    neither is an attribute that is no parameter, buffer or module.
    """

    name: str
    value: object
    kind: Optional[str] = None
    is_buffer: Optional[bool] = None
    is_temporary: bool = False
    is_attribute: bool = False


def is_module(value: object) -> bool:
    """Whether `value` stands in for a torch.nn.Module."""
    if not isinstance(value, StandIn):
        return False
    attributes = value.attributes()
    return all(isinstance(attributes.get(x), dict) for x in (_PARAMETERS, _MODULES))


def unwrapped(value: object) -> object:
    """Returns the module inside DataParallel and the like; any other value unchanged."""
    for _ in range(_MAX_WRAPPED):
        name = value.name.rpartition(".")[2] if isinstance(value, StandIn) else ""
        if name not in _WRAPPERS or not is_module(value) or not isinstance(value, StandIn):
            break
        modules = value.attributes()[_MODULES]
        inner = modules.get(_WRAPPERS[name]) if isinstance(modules, dict) else None
        if not is_module(inner):
            break
        value = inner
    return value


def members(module: object) -> Iterator[Member]:
    """Yields the members of a module in the order of its state dict, then its attributes."""
    if not isinstance(module, StandIn):
        return
    attributes = module.attributes()
    kind = kind_of(module.name)
    for name, value in parts_of(attributes.get(_PARAMETERS)):
        known = kind if name.startswith("weight") else None
        yield Member(name, value, known, is_buffer=False)
    temporary = _names(attributes.get(_TEMPORARY))
    for name, value in parts_of(attributes.get(_BUFFERS)):
        yield Member(name, value, is_buffer=True, is_temporary=name in temporary)
    for name, value in parts_of(attributes.get(UNDECLARED)):
        yield Member(name, value, kind if name.startswith("weight") else None)
    for name, value in parts_of(attributes.get(_MODULES)):
        yield Member(name, value)
    for name, value in parts_of(_without_members(attributes)):
        yield Member(name, value, is_attribute=True)
    for other in (module.arguments, module.items, module.entries):
        for name, value in parts_of(other):
            yield Member(name, value, is_attribute=True)


def _without_members(attributes: Mapping[object, object]) -> dict[object, object]:
    known = (_PARAMETERS, _BUFFERS, _MODULES, _TEMPORARY, UNDECLARED)
    return {name: value for name, value in attributes.items() if name not in known}


def _names(value: object) -> set[str]:
    """The strings of a set, as protocol 2 writes it from a list, or newer ones item by item."""
    found: set[str] = set()
    if isinstance(value, StandIn):
        for items in (*value.arguments, value.items, value.arguments):
            if isinstance(items, (list, tuple)):
                found.update(x for x in items if isinstance(x, str))
    return found


def as_module(
    module: StandIn, parameters: Collection[str], buffers: Collection[str], undeclared: bool
) -> None:
    """Sort the attributes of a scripted module, which has all of them in one dictionary.

    `undeclared` says that its other tensors may be parameters, too.
    """
    sorted_: dict[object, object] = {}
    groups: dict[str, dict[object, object]] = {
        x: {} for x in (_PARAMETERS, _BUFFERS, _MODULES, UNDECLARED)
    }
    for name, value in module.attributes().items():
        if name in parameters:
            groups[_PARAMETERS][name] = value
        elif name in buffers:
            groups[_BUFFERS][name] = value
        elif isinstance(value, StandIn) and isinstance(value.state, dict):
            groups[_MODULES][name] = value
        elif undeclared:
            groups[UNDECLARED][name] = value
        else:
            sorted_[name] = value
    sorted_.update(groups)
    module.state = sorted_


def kind_of(class_name: str) -> Optional[str]:
    """Returns the kind of the weight of a class of torch or transformers, None for others."""
    if not class_name.startswith(_KNOWN):
        return None
    return _KINDS.get(class_name.rpartition(".")[2])
