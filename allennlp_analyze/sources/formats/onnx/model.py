"""The graph of an ONNX model as it is written: nodes, attributes, tensors and subgraphs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.onnx.tensors import Tensor, parse_sparse, parse_tensor
from allennlp_analyze.sources.formats.onnx.wire import (
    BYTES,
    MAX_NAME_BYTES,
    VARINT,
    Span,
    Wire,
    signed,
)
from allennlp_analyze.sources.views import MAX_TENSORS
from allennlp_analyze.text.lines import excerpt

MAX_NODES = 200_000
MAX_DEPTH = 32
MAX_OPERANDS = 100_000
_SCOPES = b"pkg.torch.onnx.name_scopes"
_GRAPH_FIELD, _FUNCTIONS_FIELD, _TRAINING_FIELD = 7, 25, 20


@dataclass
class Attribute:
    """One attribute of a node. Only what weights depend on is kept; `numbers` are its lists."""

    name: str = ""
    integer: Optional[int] = None
    text: Optional[Span] = None
    integers: list[Span] = field(default_factory=list)
    tensor: Optional[Tensor] = None
    graphs: "list[Graph]" = field(default_factory=list)
    has_floats: bool = False


@dataclass
class Node:
    """One operator: the names of its operands and results, and its attributes by name.

    `module` is the path of the layer, if its exporter or the name of its bias says it.
    """

    operator: str = ""
    domain: str = ""
    name: str = ""
    module: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def integer(self, name: str, default: int) -> int:
        found = self.attributes.get(name)
        return default if found is None or found.integer is None else found.integer

    def input(self, index: int) -> str:
        """The name of an operand, "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass
class Graph:
    """A graph or the body of a function: its nodes in the order of computation."""

    name: str = ""
    nodes: list[Node] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass
class Model:
    """A model: its graph, its functions by (domain, name), and whether it has training graphs."""

    graph: Graph
    functions: dict[tuple[str, str], Graph]
    has_training: bool = False


class Parser:
    """Parses one file; the limits count for all of it."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._nodes = 0
        self._tensors = 0

    def model(self) -> Model:
        """Raises `CheckpointError` if the file is damaged, or is no ONNX model."""
        graphs: list[Span] = []
        functions: list[Span] = []
        training = False
        version = None
        for number, wire, start, end in self.wire.fields((0, len(self.wire.data))):
            if number == 1 and wire == VARINT:
                version = start
            elif number == _GRAPH_FIELD and wire == BYTES:
                graphs.append((start, end))
            elif number == _FUNCTIONS_FIELD and wire == BYTES:
                functions.append((start, end))
            training = training or number == _TRAINING_FIELD
        if not graphs:
            raise CheckpointError("is not an ONNX model: it has no graph")
        if len(graphs) > 1 or version is None:
            raise CheckpointError("is damaged: an ONNX model has one graph and one version")
        graph = self._graph(graphs[0], 0)
        named: dict[tuple[str, str], Graph] = {}
        for span in functions:
            key, body = self._function(span)
            named[key] = body
        return Model(graph, named, training)

    def _graph(self, span: Span, depth: int) -> Graph:
        if depth > MAX_DEPTH:
            raise CheckpointError(f"has graphs nested more than {MAX_DEPTH} deep")
        graph = Graph()
        for number, wire, start, end in self.wire.fields(span):
            if wire != BYTES:
                continue
            if number == 1:
                graph.nodes.append(self._node((start, end), depth))
            elif number == 2:
                graph.name = self.wire.text((start, end))
            elif number == 5:
                graph.tensors.append(self._counted(parse_tensor(self.wire, (start, end))))
            elif number == 15:
                graph.tensors.append(self._counted(parse_sparse(self.wire, (start, end))))
            elif number in (11, 12):
                names = graph.inputs if number == 11 else graph.outputs
                names.append(self._first_text((start, end)))
        seen: set[str] = set()
        for tensor in graph.tensors:
            if tensor.name in seen:
                raise CheckpointError(f"contains the tensor {excerpt(tensor.name)} twice")
            seen.add(tensor.name)
        return graph

    def _function(self, span: Span) -> tuple[tuple[str, str], Graph]:
        name = domain = ""
        body = Graph()
        for number, wire, start, end in self.wire.fields(span):
            if wire != BYTES:
                continue
            if number == 1:
                name = self.wire.text((start, end))
            elif number == 10:
                domain = self.wire.text((start, end))
            elif number == 4:
                body.inputs.append(self.wire.text((start, end)))
            elif number == 5:
                body.outputs.append(self.wire.text((start, end)))
            elif number == 7:
                body.nodes.append(self._node((start, end), 0))
        body.name = name
        return (domain, name), body

    def _node(self, span: Span, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise CheckpointError(f"has more than {MAX_NODES} nodes")
        node = Node()
        for number, wire, start, end in self.wire.fields(span):
            if wire != BYTES:
                continue
            if number == 1:
                node.inputs.append(self.wire.text((start, end)))
            elif number == 2:
                node.outputs.append(self.wire.text((start, end)))
            elif number == 3:
                node.name = self.wire.text((start, end))
            elif number == 4:
                node.operator = self.wire.text((start, end))
            elif number == 5:
                attribute = self._attribute((start, end), depth)
                node.attributes[attribute.name] = attribute
            elif number == 7:
                node.domain = self.wire.text((start, end))
            elif number == 9:
                node.module = self._scope((start, end)) or node.module
        if max(len(node.inputs), len(node.outputs)) > MAX_OPERANDS:
            raise CheckpointError(f"has a node of more than {MAX_OPERANDS} operands")
        return node

    def _attribute(self, span: Span, depth: int) -> Attribute:
        attribute = Attribute()
        for number, wire, start, end in self.wire.fields(span):
            if number == 1 and wire == BYTES:
                attribute.name = self.wire.text((start, end))
            elif number == 3 and wire == VARINT:
                attribute.integer = signed(start)
            elif number == 4 and wire == BYTES:
                attribute.text = (start, end)
            elif number == 5 and wire == BYTES:
                attribute.tensor = self._counted(parse_tensor(self.wire, (start, end)))
            elif number in (6, 11) and wire == BYTES:
                attribute.graphs.append(self._graph((start, end), depth + 1))
            elif number == 8:
                attribute.integers.append((start, -1) if wire == VARINT else (start, end))
            elif number == 22 and wire == BYTES:
                attribute.tensor = self._counted(parse_sparse(self.wire, (start, end)))
            attribute.has_floats = attribute.has_floats or number == 7
        return attribute

    def _counted(self, tensor: Tensor) -> Tensor:
        self._tensors += 1
        if self._tensors > MAX_TENSORS:
            raise CheckpointError(f"contains more than {MAX_TENSORS} tensors")
        return tensor

    def _scope(self, span: Span) -> str:
        """The path of the layer from an entry "['', 'layer.0', 'layer.0.query', 'linear']"."""
        entry = {n: (start, end) for n, _, start, end in self.wire.fields(span)}
        start, end = entry.get(1, (0, 0))
        if self.wire.data[start:end] != _SCOPES or 2 not in entry:
            return ""
        start, end = entry[2]
        if end - start > MAX_NAME_BYTES:
            return ""
        names = re.findall(r"'([^']*)'", self.wire.text((start, end)))
        return names[-2] if len(names) > 1 else ""

    def _first_text(self, span: Span) -> str:
        """The name of a ValueInfoProto."""
        for number, wire, start, end in self.wire.fields(span):
            if number == 1 and wire == BYTES:
                return self.wire.text((start, end))
        return ""


def subgraphs(node: Node) -> Iterator[tuple[str, Graph]]:
    """Yields the bodies of If, Loop and Scan with the names of their attributes."""
    for name, attribute in node.attributes.items():
        for graph in attribute.graphs:
            yield name, graph
