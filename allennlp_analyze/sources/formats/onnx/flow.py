"""Follows constants through a graph, in its order, to the operators that use them."""

from typing import Optional, Union

from allennlp_analyze.sources.formats.onnx.layout import Permuted, Reshaped, Step, Steps
from allennlp_analyze.sources.formats.onnx.model import Graph, Model, Node, subgraphs
from allennlp_analyze.sources.formats.onnx.operators import CHANGING, KNOWN, MOVING, Use, uses
from allennlp_analyze.sources.formats.onnx.quantized import NBits, Quantized
from allennlp_analyze.sources.formats.onnx.quantized_operators import quantized_use
from allennlp_analyze.sources.formats.onnx.tensors import Tensor
from allennlp_analyze.sources.formats.onnx.values import (
    MAX_USES,
    Found,
    Scope,
    Value,
    Weight,
    added,
    changed,
    distinct_sources,
    joined,
    may_be_layer,
    named,
    through,
)
from allennlp_analyze.sources.formats.onnx.wire import Wire

_MAX_RANK = 64


class Flow:
    """One pass over a model; `weights` are its constants in the order in which they are met."""

    def __init__(self, model: Model, wire: Wire) -> None:
        self._model = model
        self._wire = wire
        self._count = 0
        self._summaries: dict[tuple[str, str], Optional[tuple[list[Weight], list[object]]]] = {}
        self._dequantized: dict[object, Weight] = {}
        self.weights: list[Weight] = []
        self.unread: dict[str, int] = {}

    def run(self) -> None:
        self._graph(self._model.graph, Scope(), ())

    # Graphs

    def _graph(self, graph: Graph, scope: Scope, place: tuple[str, ...]) -> None:
        scope.values.update(dict.fromkeys(graph.inputs))
        for tensor in graph.tensors:
            scope.values[tensor.name] = Value((self._weight(tensor.name, tensor, place),))
        for node in graph.nodes:
            self._node(node, scope, place)

    def _weight(
        self, name: str, tensor: Union[Tensor, Quantized, NBits], place: tuple[str, ...]
    ) -> Weight:
        weight = Weight(len(self.weights), name, tensor, place)
        self.weights.append(weight)
        return weight

    def _node(self, node: Node, scope: Scope, place: tuple[str, ...]) -> None:
        self._count += 1
        values = [scope.value(name) if name else None for name in node.inputs]
        function = self._model.functions.get((node.domain, node.operator))
        known = node.operator in KNOWN or function is not None
        for sources in distinct_sources(values):
            for weight in sources:
                if weight.first is None:
                    weight.first = self._count
                if len(weight.takers) < MAX_USES:
                    weight.takers.add(node.operator)
                weight.is_known = weight.is_known and known
        if node.operator == "Constant":
            results: list[Optional[Value]] = [self._constant(node, place)]
        elif function is not None:
            results = self._call(node, function, values)
        elif node.attributes and any(a.graphs for a in node.attributes.values()):
            results = self._bodies(node, scope, place)
        else:
            stand_in = self._uses(node, values, scope, place)
            results = self._results(node, values, scope, stand_in)
        for name, result in zip(node.outputs, results):
            if name:
                scope.values[name] = result
        for name in node.outputs[len(results) :]:
            scope.values[name] = None
        if node.domain.startswith("ai.onnx.ml"):
            if any(a.has_floats for a in node.attributes.values()):
                self.unread[node.operator] = self.unread.get(node.operator, 0) + 1

    def _constant(self, node: Node, place: tuple[str, ...]) -> Value:
        for attribute in node.attributes.values():
            if attribute.tensor is not None:
                name = node.outputs[0] if node.outputs else node.name
                return Value((self._weight(name, attribute.tensor, place),))
        return Value()

    def _bodies(self, node: Node, scope: Scope, place: tuple[str, ...]) -> list[Optional[Value]]:
        results: list[list[Optional[Value]]] = []
        for attribute, body in subgraphs(node):
            inner = Scope(scope)
            self._graph(body, inner, (*place, node.name or node.operator, attribute))
            results.append([inner.value(name) for name in body.outputs])
        if node.operator != "If":
            return []
        return [joined(branch) for branch in zip(*results)]

    # Functions

    def _call(
        self, node: Node, body: Graph, values: list[Optional[Value]]
    ) -> list[Optional[Value]]:
        """Record the uses of the operands of a call by what the function does with its own."""
        key = (node.domain, node.operator)
        if key not in self._summaries:
            self._summaries[key] = None  # until it is known: a function cannot call itself
            scope = Scope()
            formals = [Weight(-1, name, Tensor(), is_formal=True) for name in body.inputs]
            scope.values.update({w.name: Value((w,)) for w in formals})
            for inner in body.nodes:
                self._node(inner, scope, (body.name,))
            self._summaries[key] = formals, [scope.value(name) for name in body.outputs]
        summary = self._summaries[key]
        if summary is None:
            return []
        formals, outputs = summary
        actual = dict(zip(map(id, formals), values))
        for formal in formals:
            value = actual.get(id(formal))
            for found in formal.found if value is not None else ():
                node_of = node if found.node.operator in KNOWN else named(found.node, node)
                self._record(value, found.use, node_of, found.steps, found.changed)
            for weight in value.sources if value is not None else ():
                weight.is_known = weight.is_known and formal.is_known
        return [through(output, actual) for output in outputs]

    # Uses

    def _uses(
        self, node: Node, values: list[Optional[Value]], scope: Scope, place: tuple[str, ...]
    ) -> Optional[Weight]:
        """Record the weights of one node. Returns the dequantized weight that it makes."""
        quantized = quantized_use(node, scope.direct)
        if quantized is not None:
            weight = self._stand_in(quantized.packed, quantized.tensor, quantized.companions, place)
            use = quantized.use
            if use is not None:
                self._record(Value((weight,)), use, node, use.steps, False)
            if quantized.awaits_scale and isinstance(weight.tensor, Quantized):
                scope.unscaled[node.outputs[0] if node.outputs else ""] = weight.tensor
            return weight if node.operator == "DequantizeLinear" else None
        self._await_scale(node, values, scope)
        equation = node.attributes.get("equation")
        text = self._wire.text(equation.text) if equation and equation.text else ""
        is_layer = False
        for use in uses(node, text):
            value = values[use.operand] if use.operand < len(values) else None
            if value is None or (node.operator == "Gather" and self._selects(node, values)):
                continue
            is_layer = self._record(value, use, node, use.steps, False) or is_layer
        if is_layer and node.operator != "Gather":
            bias = scope.direct(node.input(3 if node.operator in ("LSTM", "GRU", "RNN") else 2))
            if bias is not None and len(bias.tensor.shape) in (1, 2):
                bias.bias_of = bias.bias_of or node
            if node.outputs:
                scope.made_by[node.outputs[0]] = node
        elif node.operator == "Add":
            for name, other in (node.inputs, node.inputs[::-1]) if len(node.inputs) == 2 else ():
                bias = scope.direct(other)
                if name in scope.made_by and bias is not None and len(bias.tensor.shape) == 1:
                    layer = scope.made_by[name]
                    bias.bias_of = bias.bias_of or layer
                    if bias.name.endswith(".bias"):
                        layer.module = layer.module or bias.name[: -len(".bias")]
        return None

    def _record(
        self, value: Optional[Value], use: Use, node: Node, more: Optional[Steps], is_changed: bool
    ) -> bool:
        recorded = False
        for weight in value.sources if value is not None else ():
            if not weight.is_formal and not may_be_layer(weight.tensor.shape, use):
                continue
            if len(weight.found) >= MAX_USES:
                continue
            before = value.steps if value is not None else ()
            steps = None if before is None or more is None else (*before, *more)
            also = is_changed or (value is not None and value.changed)
            weight.found.append(Found(use, node, steps, also))
            recorded = True
        return recorded

    @staticmethod
    def _selects(node: Node, values: list[Optional[Value]]) -> bool:
        """Whether a Gather takes one slice of a constant, at a constant place."""
        indices = values[1] if len(values) > 1 else None
        if indices is None:
            return False
        return all(len(weight.tensor.shape) == 0 for weight in indices.sources)

    def _stand_in(
        self,
        packed: Weight,
        tensor: Union[Quantized, NBits],
        companions: tuple[Weight, ...],
        place: tuple[str, ...],
    ) -> Weight:
        """The weight in place of `packed`, the same for all operators that share its scales."""
        key = (packed.index, tuple(w.index for w in companions), tensor.key)
        if key not in self._dequantized:
            self._dequantized[key] = self._weight(packed.name, tensor, packed.place or place)
            self._dequantized[key].first = self._count
        packed.hidden = True
        for weight in companions:
            weight.companion = packed.name
        return self._dequantized[key]

    def _await_scale(self, node: Node, values: list[Optional[Value]], scope: Scope) -> None:
        """Find the scale of an integer product: it is cast, then multiplied by its scales."""
        if node.operator == "Cast" and node.input(0) in scope.unscaled and node.outputs:
            scope.unscaled[node.outputs[0]] = scope.unscaled[node.input(0)]
        if node.operator != "Mul" or len(node.inputs) != 2 or not node.outputs:
            return
        for name, other in (node.inputs, node.inputs[::-1]):
            scale = scope.direct(other) or scope.factors.get(other)
            if name in scope.unscaled and scale is not None and isinstance(scale.tensor, Tensor):
                waiting = scope.unscaled[name]
                if waiting.scale is None:
                    waiting.scale = scale.tensor
                    scale.companion = waiting.name
                scope.made_by.setdefault(node.outputs[0], node)
            elif scope.value(name) is None and scope.direct(other) is not None:
                factor = scope.direct(other)
                assert factor is not None
                scope.factors[node.outputs[0]] = factor

    # Results

    def _results(
        self,
        node: Node,
        values: list[Optional[Value]],
        scope: Scope,
        stand_in: Optional[Weight],
    ) -> list[Optional[Value]]:
        if stand_in is not None:
            return [Value((stand_in,))]
        if node.operator in CHANGING:
            return [changed(values)]
        if node.operator not in MOVING or not values:
            return []
        if node.operator == "Gather" and not self._selects(node, values):
            return []
        if node.operator == "Concat":
            return [joined(values)]
        value = values[0]
        if value is None:
            return []
        if node.operator in ("QuantizeLinear", "DequantizeLinear"):
            return [Value(value.sources, value.steps, True)]
        step = self._step(node, scope)
        steps = added(value.steps, step) if step is not None else None
        if node.operator in ("Identity", "Cast", "CastLike", "Dropout"):
            steps = value.steps
        return [Value(value.sources, steps, value.changed)] * max(1, len(node.outputs))

    def _step(self, node: Node, scope: Scope) -> Optional[Step]:
        if node.operator == "Transpose":
            attribute = node.attributes.get("perm")
            if attribute is None:
                return Permuted()
            return Permuted(self._wire.integers(attribute.integers, _MAX_RANK))
        if node.operator == "Reshape":
            target = scope.direct(node.input(1))
            dims = self._small(target.tensor) if target is not None else None
            return None if dims is None or node.integer("allowzero", 0) else Reshaped(dims)
        return None

    def _small(self, tensor: Union[Tensor, Quantized, NBits]) -> Optional[tuple[int, ...]]:
        """The values of a short int64 vector, None if it is anything else."""
        if not isinstance(tensor, Tensor) or tensor.dtype != "int64" or len(tensor.shape) != 1:
            return None
        if tensor.raw is None or tensor.size > _MAX_RANK:
            chunks = tensor.chunks.get(7, [])
            found = self._wire.integers(chunks, _MAX_RANK) if chunks else ()
            return found if len(found) == tensor.size else None
        start, end = tensor.raw
        data = bytes(self._wire.data[start:end])
        if len(data) != 8 * tensor.size:
            return None
        return tuple(
            int.from_bytes(data[at : at + 8], "little", signed=True)
            for at in range(0, len(data), 8)
        )
