"""The constants of a graph while they are followed, and the values that are made of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional, Union

from allennlp_analyze.sources.formats.onnx.layout import Step, Steps
from allennlp_analyze.sources.formats.onnx.model import Node
from allennlp_analyze.sources.formats.onnx.operators import Use
from allennlp_analyze.sources.formats.onnx.quantized import NBits, Quantized
from allennlp_analyze.sources.formats.onnx.tensors import Tensor

# A value made of more tensors than this is not followed; a weight has no more uses than this.
MAX_SOURCES = 16
MAX_STEPS = 16
MAX_USES = 16


@dataclass
class Found:
    """One use of a weight: by which node, and the steps to torch's layout, None if not known."""

    use: Use
    node: Node
    steps: Optional[Steps]
    changed: bool


@dataclass(eq=False)
class Weight:
    """A constant of the graph and what becomes of it. `index` tells it from all others.

    `first` is the number of the first node that takes it. `companion` says whose scale it is;
    `hidden` that it stands for another one.
    """

    index: int
    name: str
    tensor: Union[Tensor, Quantized, NBits]
    place: tuple[str, ...] = ()
    found: list[Found] = field(default_factory=list)
    first: Optional[int] = None
    takers: set[str] = field(default_factory=set)
    is_known: bool = True
    companion: Optional[str] = None
    hidden: bool = False
    bias_of: Optional[Node] = None
    is_formal: bool = False


@dataclass(frozen=True)
class Value:
    """A value that depends on constants only, and the steps that were taken since."""

    sources: tuple[Weight, ...] = ()
    steps: Optional[Steps] = ()
    changed: bool = False


class Scope:
    """The values by name in a graph, and in those around it. None: not constant."""

    def __init__(self, around: "Optional[Scope]" = None) -> None:
        self._around = around
        self.values: dict[str, Optional[Value]] = {}
        self.made_by: dict[str, Node] = {}
        # Products of an integer weight that await their scale, and factors of products.
        self.unscaled: dict[str, Quantized] = {}
        self.factors: dict[str, Weight] = {}

    def value(self, name: str) -> Optional[Value]:
        scope: Optional[Scope] = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope._around
        return None

    def direct(self, name: str) -> Optional[Weight]:
        """The constant called `name`, if it is one as it is stored."""
        value = self.value(name)
        if value is None or len(value.sources) != 1 or value.steps != () or value.changed:
            return None
        return value.sources[0]


def may_be_layer(shape: tuple[int, ...], use: Use) -> bool:
    """Whether a constant of `shape` can be that weight; a vector can be any factor of a product."""
    if len(shape) > 1 and use.alone and (use.kind != "linear" or len(shape) == 2):
        return True
    return sum(size > 1 for size in shape) > 1


def named(inner: Node, call: Node) -> Node:
    """The node of a function under the name of its call."""
    name = f"{call.name}/{inner.operator}" if call.name else inner.name
    return replace(inner, name=name, module=call.module)


def joined(values: "Sequence[Optional[Value]]") -> Optional[Value]:
    """The value made of several, None unless all of them are constant."""
    first = values[0] if values else Value()
    if any(value is None for value in values) or first is None:
        return None
    sources: dict[int, Weight] = {}
    for each in distinct_sources(values):
        if len(sources) <= MAX_SOURCES:
            sources.update((id(weight), weight) for weight in each)
    if len(sources) > MAX_SOURCES:
        return Value()
    same = len(sources) < 2 and all(v is not None and v.steps == first.steps for v in values)
    is_changed = any(value is not None and value.changed for value in values)
    return Value(tuple(sources.values()), first.steps if same else None, is_changed)


def distinct_sources(values: "Iterable[Optional[Value]]") -> "Iterable[tuple[Weight, ...]]":
    """The sources of all constant values, once for all values that share them."""
    return {id(value.sources): value.sources for value in values if value is not None}.values()


def changed(values: list[Optional[Value]]) -> Optional[Value]:
    """The value of an operator on several constants: that of the largest, changed."""
    constants = [value for value in values if value is not None]
    if len(constants) < len(values) or not constants:
        return None
    sizes = [max((_size(w) for w in value.sources), default=0) for value in constants]
    largest = constants[sizes.index(max(sizes))]
    return Value(largest.sources, largest.steps, True)


def _size(weight: Weight) -> int:
    size = 1
    for n in weight.tensor.shape:
        size *= n
    return size


def added(steps: Optional[Steps], step: Step) -> Optional[Steps]:
    return None if steps is None or len(steps) >= MAX_STEPS else (*steps, step)


def through(output: object, actual: dict[int, Optional[Value]]) -> Optional[Value]:
    """What a call returns: the function's result, made of the operands of the call."""
    if not isinstance(output, Value):
        return None
    found = [actual.get(id(w)) if w.is_formal else Value((w,)) for w in output.sources]
    value = joined(found) if found else Value()
    if value is None:
        return None
    steps = value.steps
    for step in output.steps or ():
        steps = added(steps, step)
    return Value(
        value.sources, None if output.steps is None else steps, value.changed or output.changed
    )
