"""Reads the class, index and kind of each parameter's module from a built model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Optional

from allennlp_analyze.matrices.kinds import (
    bare_parameter_kind,
    is_attention,
    is_experts,
    last_word_is_an_operation,
)
from allennlp_analyze.matrices.names import split_name, stands_for

# Class names, searched along the method resolution order, so that subclasses count.
_WEIGHT_KINDS = {
    "Linear": "linear",
    "Conv1D": "linear",
    "Embedding": "embedding",
    "EmbeddingBag": "embedding",
    "Bilinear": "bilinear",
    "_ConvNd": "convolution",
}
# Layers that do not derive from torch's name the layer that they replace (QuantLinear).
# A router is a Linear from the width to the experts.
_ENDINGS = {"Linear": "linear", "Embedding": "embedding", "Router": "linear"}
_RECURRENT = ("RNNBase", "RNNCellBase")
_ATTENTION = ("Attention", "SimilarityFunction")
_TRANSPOSED = "_ConvTransposeNd"
_PARAMETRIZATIONS = "parametrizations."
# Wrappers whose state dict omits their own part of a name.
_OMITTED = ("_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")
_GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}


@dataclass(frozen=True)
class ModuleFacts:
    """The module that owns a parameter.

    `module_index` is its position in `model.modules()`, 0 for the model itself. `gates` counts the
    gates of a recurrent layer (1 for a plain RNN, 0 for other layers), `transposed_groups` the
    groups of a transposed convolution (0 for other layers).
    """

    module_class: str
    module_index: int
    kind: str
    gates: int = 0
    transposed_groups: int = 0


@dataclass(frozen=True)
class ModuleTable:
    """Facts by parameter name, the names of the buffers, and which parameters are trained.

    `trained` and `frozen` are both empty if that is not known.
    """

    parameters: Mapping[str, ModuleFacts] = field(default_factory=dict)
    buffers: frozenset[str] = frozenset()
    trained: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()

    def get(self, parameter: str) -> Optional[ModuleFacts]:
        """Returns the facts about `parameter`, or None if no module owns it."""
        return self.parameters.get(parameter)

    def is_buffer(self, parameter: str) -> bool:
        return parameter in self.buffers


def table_from_model(model: Any, trains: bool = True) -> ModuleTable:
    """Returns the table of a `torch.nn.Module`; only its named modules and parameters are used.

    A module that is registered twice is listed under its first name, as torch numbers it. A tied
    parameter is listed under each module that contains it. `trains` says that the `requires_grad`
    of its parameters is that of the training, not only what the class starts with.

    Frozen parameters are fixed tables if most values are trained. Otherwise something trained
    earlier has been frozen, such as the base model of an adapter.
    """
    parameters: dict[str, ModuleFacts] = {}
    buffers: set[str] = set()
    modules = dict(model.named_modules())
    index_of = {path: index for index, path in enumerate(modules)}
    for path, module in modules.items():
        # The parts of a parametrized weight belong to the layer, not to the list that contains
        # them.
        layer = _layer_of(path)
        prefix = saved_as(path + "." if path else "")
        for leaf, _ in module.named_parameters(recurse=False):
            own = stands_for(split_name(prefix + leaf)[1])
            parameters[prefix + leaf] = _facts(modules[layer], index_of[layer], own, layer)
        buffers.update(prefix + leaf for leaf, _ in module.named_buffers(recurse=False))
    trained, frozen = _by_training(model) if trains else (frozenset(), frozenset())
    return ModuleTable(MappingProxyType(parameters), frozenset(buffers), trained, frozen)


def _by_training(model: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the names of the trained parameters, and of the fixed tables."""
    sizes: dict[bool, int] = {True: 0, False: 0}
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for path, module in model.named_modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            saved = saved_as(f"{path}.{leaf}" if path else leaf)
            names[bool(parameter.requires_grad)].add(saved)
    for parameter in model.parameters():
        if not type(parameter).__name__.startswith("Uninitialized"):  # of a lazy module: no size
            sizes[bool(parameter.requires_grad)] += int(parameter.numel())
    most = sizes[True] > sizes[False]
    return frozenset(names[True]), frozenset(names[False] if most else ())


def _layer_of(path: str) -> str:
    """The path of the layer whose parameter the module `path` parametrizes; else `path`."""
    if path.startswith(_PARAMETRIZATIONS):
        return ""
    return path.partition("." + _PARAMETRIZATIONS)[0]


def saved_as(name: str) -> str:
    """The name that `model.state_dict()` has for the parameter `name`."""
    for part in _OMITTED:
        name = name.replace(part, "")
    return name


def _facts(module: Any, index: int, leaf: str, path: str) -> ModuleFacts:
    classes = [base.__name__ for base in type(module).__mro__]
    recurrent = any(name in classes for name in _RECURRENT)
    return ModuleFacts(
        module_class=classes[0],
        module_index=index,
        kind="recurrent" if recurrent else _kind(classes, leaf, path),
        gates=_gates(module, classes) if recurrent else 0,
        transposed_groups=int(module.groups) if _TRANSPOSED in classes else 0,
    )


def _kind(classes: list[str], leaf: str, path: str) -> str:
    """Returns the kind by the class, and by the parameter's name if the class is not known."""
    for name in classes:
        if name in _WEIGHT_KINDS:
            return _WEIGHT_KINDS[name]
    for ending, kind in _ENDINGS.items():
        if leaf == "weight" and any(name.endswith(ending) for name in classes):
            return kind
    in_attention = any(name.endswith(_ATTENTION) for name in classes) or is_attention(path)
    in_experts = is_experts(path) or any(name.endswith("Experts") for name in classes)
    if in_experts and leaf == "weight":
        return "linear" if last_word_is_an_operation(path) else "other"
    return bare_parameter_kind(leaf, in_attention, in_experts)


def _gates(module: Any, classes: list[str]) -> int:
    return next((_GATES[name] for name in classes if name in _GATES), 1)
