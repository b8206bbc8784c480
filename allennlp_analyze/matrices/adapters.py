"""Finds low-rank adapters: the pairs of tensors whose product changes a layer's weights."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.options.patterns import ORDINARY_NAME, compiled
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor

# The factor A (r x inputs), by the names of PEFT, of diffusers and of kohya's scripts.
_DOWN = re.compile(
    r"(?P<layer>.+)\.(?:lora_A(?:\.(?P<adapter>[^.]+))?\.weight|lora_embedding_A(?:\.[^.]+)?"
    r"|lora(?:_linear_layer)?\.down\.weight|lora_down\.weight)"
    # of the attention processors of older diffusers: processor.to_q_lora.down.weight
    r"|(?P<processor>.+\.(?:to_[qkv]|to_out|add_[kv]_proj))_lora\.down\.weight"
)
_UP = (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B"), ("down", "up"))
_MAGNITUDES = ("lora_magnitude_vector", "lora_magnitude_vector.weight", "dora_scale")


@dataclass(frozen=True)
class Adapter:
    """One adapter: its factors `up` (outputs x r) and `down` (r x inputs), and its scale.

    `others` are further tensors that belong to it: kohya's alpha, the magnitudes of DoRA.
    """

    name: str
    down: StoredTensor
    up: StoredTensor
    scale: float
    scale_source: str
    others: tuple[str, ...] = ()

    @property
    def r(self) -> int:
        return self.down.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """outputs x inputs of the layer that it changes."""
        return self.up.shape[0], math.prod(self.down.shape[1:])

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of all its tensors."""
        return (self.down.name, self.up.name, *self.others)


def find_adapters(source: Source) -> list[Adapter]:
    """Returns the adapters of `source` in state-dict order.

    The scale is alpha / r, or alpha / sqrt(r) for rsLoRA: alpha is kohya's tensor of that name, or
    `lora_alpha` of adapter_config.json; without either it is r.
    """
    return list(_found(source))


def _found(source: Source) -> Iterator[Adapter]:
    tensors = source.tensors
    for name, down in tensors.items():
        match = _DOWN.fullmatch(name)
        up = _up(name, tensors) if match else None
        if match is None or up is None or not _fit(down, up):
            continue
        layer = match["layer"] or match["processor"]
        others = [f"{layer}.alpha"] if f"{layer}.alpha" in tensors else []
        others += [f"{layer}.{leaf}" for leaf in _MAGNITUDES if f"{layer}.{leaf}" in tensors]
        scale, why = _scale(source, layer, down.shape[0])
        if len(others) > (f"{layer}.alpha" in tensors):
            why += "; the magnitudes of DoRA are left out"
        yield Adapter(layer, down, up, scale, why, tuple(others))


def _up(name: str, tensors: Mapping[str, StoredTensor]) -> Optional[StoredTensor]:
    for down, up in _UP:
        head, found, tail = name.rpartition(down)
        if found and head + up + tail in tensors:
            return tensors[head + up + tail]
    return None


def _fit(down: StoredTensor, up: StoredTensor) -> bool:
    """Whether B A exists: two factors with the same r, that of B in its second dimension."""
    readable = down.unsupported is None and up.unsupported is None
    if not readable or len(down.shape) < 2 or len(up.shape) < 2 or 0 in (*down.shape, *up.shape):
        return False
    return up.shape[1] == down.shape[0] and math.prod(up.shape[2:]) == 1


def _scale(source: Source, layer: str, r: int) -> tuple[float, str]:
    alpha = source.tensors.get(f"{layer}.alpha")
    if alpha is not None and math.prod(alpha.shape) == 1:
        try:
            value = float(np.asarray(alpha.values(), np.float64).reshape(()))
        except TensorError:
            value = math.nan
        if math.isfinite(value):
            return value / r, f"alpha {value:g} / r {r}"
    config = source.adapter_config
    given = _pattern(config, "alpha_pattern", layer) or config.get("lora_alpha")
    given = given or source.config.get("lora_alpha")  # of a GGUF file
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        if config.get("use_rslora"):
            return given / math.sqrt(r), f"lora_alpha {given:g} / sqrt(r {r}), rsLoRA"
        return given / r, f"lora_alpha {given:g} / r {r}"
    return 1.0, "alpha is not known: taken as r"


def _matches(pattern: str, layer: str) -> bool:
    """Whether PEFT takes `pattern` for the layer: a regular expression for the end of its name.

    One that may take forever is compared as a name.
    """
    if layer == pattern or layer.endswith(f".{pattern}"):
        return True
    try:
        return len(layer) <= ORDINARY_NAME and bool(compiled(rf"(.*\.)?({pattern})$").match(layer))
    except (ValueError, re.error):
        return False


def _pattern(config: Mapping[str, Any], key: str, layer: str) -> Optional[float]:
    """PEFT's exception for a layer whose name ends in (or matches) one of the pattern's keys."""
    patterns = config.get(key)
    for name, value in patterns.items() if isinstance(patterns, Mapping) else ():
        if isinstance(value, (int, float)) and _matches(name, layer):
            return float(value)
    return None
