"""Names for weights: their own, or, where an exporter dropped it, the path of their operator."""

import re
from collections.abc import Iterable, Iterator

from allennlp_analyze.sources.formats.onnx.model import Node
from allennlp_analyze.sources.formats.onnx.tensors import Tensor
from allennlp_analyze.sources.formats.onnx.values import Found, Weight

# What torch's exporters and Paddle's call a constant that has no name.
_ANONYMOUS = re.compile(
    r"onnx::\w+|/.*|_?val_?\d+|_?const\w*[._]?\d+|\d+|.*_output_\d+|_v_\d+|p2o\..*|auto\..*"
    r"|.*\.constant\.\d+|arg\d+_\d+|lifted_tensor_\d+|",
    re.IGNORECASE | re.DOTALL,
)
# What quantizers add to a weight's name; onnxruntime transposes those of Gemm.
_QUANTIZED = re.compile(
    r"(.+?)(?:_Transposed)?(_quantized|_Q\d+|_DQ_Q\d+|_Q4G\d*|_quant)", re.DOTALL
)
_NUMBER = re.compile(r".*_(\d+)", re.DOTALL)
_TORCH_RECURRENT = re.compile(r"(?:.*\.)?weight_[ih]h(_l\d+)?(_reverse)?", re.DOTALL)


def is_anonymous(name: str) -> bool:
    return _ANONYMOUS.fullmatch(name) is not None


def module_of(node: Node) -> str:
    """The path of the layer: "/encoder/layer.0/query/MatMul" is in `encoder.layer.0.query`."""
    if node.module:
        return node.module
    parts = [part for part in node.name.split("/") if part]
    if len(parts) > 1 and re.fullmatch(re.escape(node.operator) + r"(_\d+)?", parts[-1]):
        parts.pop()
    return ".".join(parts)


def recurrent_name(own: str, found: Found) -> str:
    """`lstm.weight_ih_l1_reverse`: the layer is the number at the end of the node's name."""
    if _TORCH_RECURRENT.fullmatch(own) and not found.use.leaf.endswith("_reverse"):
        return own
    last = found.node.name.rpartition("/")[2]
    number = _NUMBER.fullmatch(last)
    layer = number.group(1) if number and "/" in found.node.name else "0"
    module = module_of(found.node) or own
    return f"{module}.{found.use.leaf.replace('_l0', '_l' + layer)}"


class Names:
    """Gives every weight a name that no other has."""

    def __init__(self, weights: Iterable[Weight]) -> None:
        self._taken: set[str] = set()
        self._own: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        for weight in weights:
            if weight.hidden or is_anonymous(weight.name):
                continue
            self._own[weight.index] = self._first_free(self._of_own(weight))

    def of(self, weight: Weight) -> str:
        """The name of a weight that is used once, or not at all."""
        if weight.index not in self._own:
            self._own[weight.index] = self._first_free(self._of_operator(weight))
        return self._own[weight.index]

    def of_direction(self, weight: Weight, found: Found) -> str:
        """The name of one direction of a recurrent layer's weight."""
        name = recurrent_name(weight.name, found)
        if self._own.get(weight.index) == name:
            return name
        return self._first_free(iter((name, f"{name} ({weight.name})")))

    def _of_own(self, weight: Weight) -> Iterator[str]:
        stripped = _QUANTIZED.fullmatch(weight.name)
        if stripped and not isinstance(weight.tensor, Tensor):
            yield stripped.group(1)
        yield weight.name
        yield ".".join((*weight.place, weight.name))

    def _of_operator(self, weight: Weight) -> Iterator[str]:
        node, leaf = None, "weight"
        if weight.found:
            node, leaf = weight.found[0].node, weight.found[0].use.leaf
        elif weight.bias_of is not None:
            node, leaf = weight.bias_of, "bias"
        if node is not None and (node.name or node.module):
            yield f"{module_of(node)}.{leaf}"
            last = node.name.rpartition("/")[2]
            yield f"{module_of(node)}.{last}.{leaf}"
        yield weight.name or "constant"
        yield ".".join((*weight.place, weight.name or "constant"))

    def _first_free(self, names: Iterator[str]) -> str:
        name = ""
        for name in names:
            if name and name not in self._taken:
                self._taken.add(name)
                return name
        number = self._numbers.get(name, 1) + 1
        while f"{name} ({number})" in self._taken:
            number += 1
        self._numbers[name] = number
        self._taken.add(f"{name} ({number})")
        return f"{name} ({number})"
