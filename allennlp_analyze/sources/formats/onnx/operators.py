"""Which operand of an operator is whose weight, its kind, and how torch would lay it out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.sources.formats.onnx.layout import (
    Merged,
    Permuted,
    Picked,
    Steps,
    Swapped,
    Untransposed,
)
from allennlp_analyze.sources.formats.onnx.model import Node

MICROSOFT = "com.microsoft"
# torch has the gates input, forget, cell, output and reset, update, new.
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}


@dataclass(frozen=True)
class Use:
    """An operand that is a weight: the kind of its layer, and the steps to torch's layout.

    `leaf` is what torch calls such a parameter. `alone` says that a single column cannot be a
    layer: the operand may be any factor of a product.
    """

    operand: int
    kind: str
    steps: Steps = ()
    leaf: str = "weight"
    alone: bool = True


def uses(node: Node, equation: str = "") -> Iterator[Use]:
    """Yields the operands of `node` that are weights if they are constant.

    `equation` is that of an Einsum.
    """
    operator = node.operator
    if operator in ("MatMul", "FusedMatMul", "Gemm", "FusedGemm"):
        yield Use(0, "linear", (Swapped(),) if node.integer("transA", 0) else (), alone=False)
        yield Use(1, "linear", () if node.integer("transB", 0) else (Swapped(),))
    elif operator in ("Conv", "FusedConv", "DeformConv"):
        yield Use(1, "convolution")
    elif operator == "ConvTranspose":
        yield Use(1, "convolution", (Untransposed(max(1, node.integer("group", 1))),))
    elif operator in _GATES:
        yield from _recurrent(_GATES[operator])
    elif operator == "Gather":
        axis = node.integer("axis", 0)
        yield Use(0, "embedding", (Permuted((1, 0)),) if axis == 1 else ())
    elif operator == "Einsum":
        yield from _einsum(equation)
    elif operator in ("Attention", "QAttention") and node.domain == MICROSOFT:
        yield Use(1, "attention", (Swapped(),))
    elif operator == "EmbedLayerNormalization" and node.domain == MICROSOFT:
        yield from (Use(operand, "embedding") for operand in (2, 3, 4))


def _recurrent(gates: tuple[int, ...]) -> Iterator[Use]:
    for operand, leaf in ((1, "weight_ih_l0"), (2, "weight_hh_l0")):
        yield Use(operand, "recurrent", (Picked(0, gates),), leaf)
        yield Use(operand, "recurrent", (Picked(1, gates),), leaf + "_reverse")


def _einsum(equation: str) -> Iterator[Use]:
    """Two operands: letters that the weight shares with the result only are its outputs."""
    terms, arrow, result = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    letters = "".join(operands) + result
    if not arrow or len(operands) != 2 or len(letters) > 60 or not letters.isalpha():
        return
    for index in (1, 0):
        own, other = operands[index], operands[1 - index]
        steps = _einsum_steps(own, other, result)
        if steps is not None:
            yield Use(index, "linear", steps, alone=False)


def _einsum_steps(own: str, other: str, result: str) -> Optional[Steps]:
    batch = [c for c in own if c in other and c in result]
    outputs = [c for c in own if c not in other and c in result]
    inputs = [c for c in own if c in other and c not in result]
    order = batch + outputs + inputs
    if len(order) != len(own) or len(set(own)) != len(own) or not outputs or not inputs:
        return None
    steps: Steps = (Permuted(tuple(own.index(c) for c in order)),)
    if len(outputs) > 1 or len(inputs) > 1:
        steps = (*steps, Merged(len(batch), len(batch) + len(outputs)))
    return steps


# Operators whose result has the numbers of their first operand, or of several: operands with data.
MOVING = {
    "Identity": 1,
    "Cast": 1,
    "CastLike": 1,
    "Reshape": 1,
    "Transpose": 1,
    "Squeeze": 1,
    "Unsqueeze": 1,
    "Flatten": 1,
    "Slice": 1,
    "Split": 1,
    "Tile": 1,
    "Expand": 1,
    "Dropout": 1,
    "Pad": 1,
    "Gather": 1,
    "QuantizeLinear": 1,
    "DequantizeLinear": 1,
    "Concat": None,
}
# Operators that change numbers one by one, or rows by rows: a weight of them is not as stored.
CHANGING = frozenset("Mul Div Add Sub Clip Neg Tanh Abs Sign Where".split())
# Known operators: an array that they take, but not as a weight, is no map between activations.
KNOWN = (
    CHANGING
    | frozenset(MOVING)
    | frozenset(
        "MatMul FusedMatMul Gemm FusedGemm Conv FusedConv ConvTranspose LSTM GRU RNN Einsum"
        " BatchNormalization LayerNormalization InstanceNormalization GroupNormalization"
        " RMSNormalization SkipLayerNormalization SimplifiedLayerNormalization"
        " SkipSimplifiedLayerNormalization PRelu Max Min Mod Range Resize Upsample If Loop Scan"
        " Shape ScatterND ScatterElements GatherND GatherElements OneHot Size LessOrEqual"
        " GreaterOrEqual ConstantOfShape RotaryEmbedding ReduceSum ReduceMean ReduceMax ReduceMin"
        " ReduceProd TopK Sin Cos Sqrt Exp Log Erf Softmax Sigmoid Relu CumSum Trilu BitShift"
        " ArgMax NonZero DynamicQuantizeLinear Pow Equal And Or Not Less Greater".split()
    )
)
