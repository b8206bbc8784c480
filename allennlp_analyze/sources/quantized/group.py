"""A group of stored tensors that are one quantized weight, and what config.json says about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from allennlp_analyze.sources.quantized.matrix import Quantized, Stack
from allennlp_analyze.sources.tensor import StoredTensor

Tensors = Mapping[str, StoredTensor]
Weight = Union[Quantized, Stack]
_SECTIONS = ("quantization_config", "compression_config", "quantization")
_CONTAINERS = ("text_config", "llm_config", "language_config")


@dataclass(frozen=True)
class Group:
    """The tensors of one weight.

    `name` is what the weight would be called if it were not quantized. `others` are the tensors
    beside its codes. `make` returns the weight; it reads at most a few small tensors, and raises
    `TensorError` if they do not fit. `shape` is that of the weight if it has
    more dimensions than its matrix.
    """

    name: str
    others: tuple[StoredTensor, ...]
    make: Callable[[], Weight] = field(repr=False)
    shape: Optional[tuple[int, ...]] = None


def section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns what a config.json says about quantization, {} if nothing."""
    for node in (config, *(config.get(name) for name in _CONTAINERS)):
        if isinstance(node, Mapping):
            for name in _SECTIONS:
                found = node.get(name)
                if isinstance(found, Mapping):
                    return found
    return {}


def whole_number(stated: Mapping[str, Any], *keys: str) -> Optional[int]:
    """Returns the first of `keys` that is a whole number, of any sign, or None."""
    for key in keys:
        value = stated.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def beside(tensors: Tensors, module: str, *leaves: str) -> dict[str, StoredTensor]:
    """Returns those of the module's tensors that there are, by leaf."""
    prefix = f"{module}." if module else ""
    return {leaf: tensors[prefix + leaf] for leaf in leaves if prefix + leaf in tensors}


def named(module: str, leaf: str) -> str:
    return f"{module}.{leaf}" if module else leaf
