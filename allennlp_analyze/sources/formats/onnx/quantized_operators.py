"""Which operators have integer weights, and which operands are their scales and zero points."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional, Union

from allennlp_analyze.sources.formats.onnx.layout import Permuted, Picked, Steps, Swapped
from allennlp_analyze.sources.formats.onnx.model import Node
from allennlp_analyze.sources.formats.onnx.operators import Use
from allennlp_analyze.sources.formats.onnx.quantized import NBits, Quantized
from allennlp_analyze.sources.formats.onnx.tensors import Tensor

if TYPE_CHECKING:
    from allennlp_analyze.sources.formats.onnx.values import Weight

_MAX_BLOCK = 1 << 20


@dataclass(frozen=True)
class QuantizedUse:
    """An integer weight: the tensor that replaces `packed`, its use, None for what only flows on.

    `awaits_scale` says that the scale is multiplied to the result of the operator.
    """

    packed: "Weight"
    tensor: Union[Quantized, NBits]
    companions: "tuple[Weight, ...]"
    use: Optional[Use]
    awaits_scale: bool = False


@dataclass(frozen=True)
class _Operands:
    """The places of weight, scale and zero point, the axis of the scales, and the use."""

    weight: int
    scale: Optional[int]
    zero: int
    axis: int
    kind: str
    steps: Steps = ()


_OPERATORS = {
    "QLinearMatMul": _Operands(3, 4, 5, -1, "linear", (Swapped(),)),
    "QLinearConv": _Operands(3, 4, 5, 0, "convolution"),
    "DynamicQuantizeMatMul": _Operands(1, 2, 3, -1, "linear", (Swapped(),)),
    "MatMulIntegerToFloat": _Operands(1, 3, 5, -1, "linear", (Swapped(),)),
    "MatMulInteger": _Operands(1, None, 3, -1, "linear", (Swapped(),)),
    "ConvInteger": _Operands(1, None, 3, 0, "convolution"),
    "QAttention": _Operands(1, 4, 7, -1, "attention", (Swapped(),)),
}


def quantized_use(
    node: Node, direct: "Callable[[str], Optional[Weight]]"
) -> Optional[QuantizedUse]:
    """Returns the integer weight of `node`, None if it has none as a constant.

    `direct` returns the constant of a name, if it is used as it is stored.
    """
    operator = node.operator
    if operator in _OPERATORS:
        places = _OPERATORS[operator]
        return _plain(node, direct, places)
    if operator == "QGemm":
        rows = node.integer("transB", 0)
        steps: Steps = () if rows else (Swapped(),)
        return _plain(node, direct, _Operands(3, 4, 5, 0 if rows else 1, "linear", steps))
    if operator == "DequantizeLinear":
        places = _Operands(0, 1, 2, node.integer("axis", 1), "")
        return _plain(node, direct, places, node.integer("block_size", 0))
    if operator == "MatMulNBits":
        return _nbits(node, direct)
    if operator == "GatherBlockQuantized":
        return _gather(node, direct)
    return None


def _constant(direct: "Callable[[str], Optional[Weight]]", name: str) -> "Optional[Weight]":
    found = direct(name) if name else None
    return found if found is not None and isinstance(found.tensor, Tensor) else None


def _plain(
    node: Node,
    direct: "Callable[[str], Optional[Weight]]",
    places: _Operands,
    block: int = 0,
    bits: int = 8,
) -> Optional[QuantizedUse]:
    packed = _constant(direct, node.input(places.weight))
    if packed is None or packed.is_formal or not 0 <= block <= _MAX_BLOCK:
        return None
    scale = None if places.scale is None else _constant(direct, node.input(places.scale))
    zero = _constant(direct, node.input(places.zero))
    if node.input(places.zero) and zero is None:
        return None  # computed: not known
    assert isinstance(packed.tensor, Tensor)
    shape = packed.tensor.shape
    axis = places.axis
    if shape and not -len(shape) <= axis < len(shape):
        axis = 0  # of no effect if there is one scale for all
    tensor = Quantized(packed.tensor, _tensor(scale), _tensor(zero), axis, block, bits)
    companions = tuple(weight for weight in (scale, zero) if weight is not None)
    use = Use(places.weight, places.kind, places.steps) if places.kind else None
    return QuantizedUse(packed, tensor, companions, use, places.scale is None)


def _tensor(weight: "Optional[Weight]") -> Optional[Tensor]:
    return weight.tensor if weight is not None and isinstance(weight.tensor, Tensor) else None


def _nbits(node: Node, direct: "Callable[[str], Optional[Weight]]") -> Optional[QuantizedUse]:
    found = [_constant(direct, node.input(index)) for index in range(1, 5)]
    packed, scale, zero, groups = found
    if packed is None or scale is None or packed.is_formal or scale.is_formal:
        return None
    if any(node.input(index) and found[index - 1] is None for index in (3, 4)):
        return None
    assert isinstance(packed.tensor, Tensor) and isinstance(scale.tensor, Tensor)
    tensor = NBits(
        packed.tensor,
        scale.tensor,
        _tensor(zero),
        _tensor(groups),
        outputs=node.integer("N", 0),
        inputs=node.integer("K", 0),
        bits=node.integer("bits", 4),
        block=node.integer("block_size", 0),
    )
    companions = tuple(weight for weight in found[1:] if weight is not None)
    return QuantizedUse(packed, tensor, companions, Use(1, "linear"))


def _gather(node: Node, direct: "Callable[[str], Optional[Weight]]") -> Optional[QuantizedUse]:
    """GatherBlockQuantized of com.microsoft: data, indices, scales, zero points."""
    rank_axis = node.integer("quantize_axis", 1)
    packed = _constant(direct, node.input(0))
    if packed is None or not isinstance(packed.tensor, Tensor):
        return None
    bits = node.integer("bits", 4) if packed.tensor.dtype == "uint8" else 8
    steps: Steps = (Permuted((1, 0)),) if node.integer("gather_axis", 0) == 1 else ()
    places = _Operands(0, 2, 3, rank_axis, "embedding", steps)
    if bits not in (2, 4, 8):
        return None
    return _plain(node, direct, places, node.integer("block_size", 128), bits)


def recurrent(direction: int, gates: tuple[int, ...]) -> Steps:
    """The steps of a DynamicQuantizeLSTM's weight: directions x inputs x gates."""
    return (Swapped(), Picked(direction, gates))
