"""Knows the layers of Keras: the roles of their arrays, and how torch lays them out."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.sources.formats.arrays.layouts import Axis, transposed_kernel

# The arrays of each class, by its name in snake case, in the order in which Keras numbers them.
_KERNEL = ("kernel", "bias")
_CELL = ("kernel", "recurrent_kernel", "bias")
_NORM = ("gamma", "beta")
_ROLES = {
    "embedding": ("embeddings",),
    "batch_normalization": (*_NORM, "moving_mean", "moving_variance"),
    "layer_normalization": _NORM,
    "group_normalization": _NORM,
    "rms_normalization": ("scale",),
    "separable_conv1d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    **dict.fromkeys(("dense", "einsum_dense"), _KERNEL),
    **dict.fromkeys(("query", "key", "value", "attention_output"), _KERNEL),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _KERNEL),
    **dict.fromkeys(("conv1d_transpose", "conv2d_transpose", "conv3d_transpose"), _KERNEL),
    **dict.fromkeys(("depthwise_conv1d", "depthwise_conv2d"), _KERNEL),
    **dict.fromkeys(("lstm_cell", "gru_cell", "simple_rnn_cell"), _CELL),
}
CLASSES = frozenset(_ROLES)
_IN_TORCH = {
    "gamma": "weight",
    "beta": "bias",
    "scale": "weight",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_RECURRENT = ("lstm", "gru", "simple_rnn", "cu_dnnlstm", "cu_dnngru")
_NUMBER = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Placed:
    """How an array is called in torch, the kind of its layer, and its axes."""

    leaf: str
    kind: Optional[str]
    axes: Sequence[Axis]


def classes_of(config: Optional[str]) -> dict[str, str]:
    """Returns the class, in snake case, of every layer that a model's configuration names."""
    try:
        pending = [json.loads(config or "{}")]
    except (ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        if not isinstance(node, Mapping):
            continue
        pending.extend(node.values())
        inner, named = node.get("config"), node.get("class_name")
        name = inner.get("name") if isinstance(inner, Mapping) else None
        if isinstance(name, str) and isinstance(named, str):
            found.setdefault(name, snake_case(named))
    return found


def snake_case(name: str) -> str:
    """The name of a class as Keras writes it in names of layers: "Conv2DTranspose" is
    "conv2d_transpose"."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


def stem(name: str) -> str:
    """A layer's name without the number that Keras adds."""
    return _NUMBER.sub("", name)


def role_of(own: str, number: int, count: int) -> Optional[str]:
    """Returns the role of the array `number` of `count` of a layer of class `own`."""
    roles = _ROLES.get(own, _KERNEL if own.endswith("_dense") else ())
    # A layer without a bias has fewer; a normalization without a scale cannot be told.
    is_whole = count == len(roles) or (count == len(roles) - 1 and roles[-1] == "bias")
    return roles[number] if is_whole and number < count else None


def placed(own: str, layer: str, role: str, axes: list[Axis], is_named_so: bool) -> Placed:
    """Returns how torch would hold an array of a layer.

    `own` is the layer's class ("" if it is not known), `layer` its name. `is_named_so`: the name
    says that a convolution is transposed.
    """
    size = len(axes)
    is_cell = own.endswith("_cell") or own.startswith(_RECURRENT)
    if role == "embeddings" and size == 2:
        return Placed("weight", "embedding", axes)
    if role in ("kernel", "recurrent_kernel") and size == 2 and is_cell:
        # torch has the gates of a GRU in another order, so its names would be wrong.
        has_order = not own.startswith(("gru", "cu_dnngru"))
        leaf = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh"}[role]
        return Placed(leaf if has_order else role, "recurrent", axes[::-1])
    if role == "depthwise_kernel" or (role == "kernel" and own.startswith("depthwise")):
        *places, inputs, each = axes
        joined = (inputs[0] * each[0], each[1])
        leaf = "weight" if role == "kernel" else role
        return Placed(leaf, "convolution", [joined, (1, joined[1]), *places])
    if role in ("kernel", "pointwise_kernel") and size == 2:
        return Placed("weight" if role == "kernel" else role, "linear", axes[::-1])
    if role == "kernel" and size == 3 and layer in ("query", "key", "value"):
        return Placed("weight", "linear", [_joined(axes[1:]), axes[0]])
    if role == "kernel" and size == 3 and layer == "attention_output":
        return Placed("weight", "linear", [axes[2], _joined(axes[:2])])
    if role in ("kernel", "pointwise_kernel") and 3 <= size <= 5 and own != "einsum_dense":
        leaf = "weight" if role == "kernel" else role
        if own.endswith("_transpose"):  # places x outputs x inputs
            *places, outputs, inputs = axes
            first = [inputs, outputs] if is_named_so else [outputs, inputs]
            return Placed(leaf, "convolution", [*first, *places])
        return Placed(leaf, "convolution", transposed_kernel(axes))
    return Placed(_IN_TORCH.get(role, role) if size == 1 else role, None, axes)


def _joined(axes: Sequence[Axis]) -> Axis:
    return axes[0][0] * axes[1][0], axes[1][1]
