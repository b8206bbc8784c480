"""Reads the weights of an ONNX model, with the kinds that its operators give them."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats import foreign
from allennlp_analyze.sources.formats.external import ExternalFiles
from allennlp_analyze.sources.formats.guarded import mapped, reading
from allennlp_analyze.sources.formats.onnx.flow import Flow
from allennlp_analyze.sources.formats.onnx.layout import Picked, arranged, arranged_shape
from allennlp_analyze.sources.formats.onnx.model import Parser
from allennlp_analyze.sources.formats.onnx.naming import Names, is_anonymous
from allennlp_analyze.sources.formats.onnx.noise import arranged_noise
from allennlp_analyze.sources.formats.onnx.tensors import Tensor, Values
from allennlp_analyze.sources.formats.onnx.values import Found, Weight
from allennlp_analyze.sources.formats.onnx.wire import Wire
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.lists import enumerated

_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error)
# Of several uses the first of these kinds is stated: a table may be the last layer, too.
_ORDER = ("embedding", "recurrent", "attention", "convolution", "linear")
_SCALES = "scales of quantization: not a matrix"


def read_onnx(path: Path, label: Optional[str] = None) -> Weights:
    """Returns the tensors by name, in the order in which the graph uses them; values are mapped.

    Messages use `label` in place of the path. Raises `CheckpointError`, and nothing else, if the
    file cannot be read, is damaged, or is not an ONNX model.
    """
    with reading(label or str(path), *_DAMAGE):
        return _read(path)


def _read(path: Path) -> Weights:
    mapping = mapped(path)
    reason = foreign.describe(mapping[:512])
    if reason is not None:
        raise CheckpointError(reason)
    wire = Wire(mapping)
    model = Parser(wire).model()
    flow = Flow(model, wire)
    flow.run()
    files = ExternalFiles(path)
    reading = _Reading(flow, Values(mapping, files), bool(model.graph.nodes))
    tensors = reading.tensors()
    warnings = list(reading.warnings())
    if model.has_training:
        warnings.append("its training information was not read")
    return Weights(tensors, warnings=tuple(warnings), files=files.states)


class _Reading:
    """Makes the stored tensors of the constants that a `Flow` has followed."""

    def __init__(self, flow: Flow, values: Values, has_nodes: bool) -> None:
        self._flow = flow
        self._values = values
        self._has_nodes = has_nodes
        last = len(flow.weights) + 1
        self._ordered = sorted(
            (weight for weight in flow.weights if not weight.hidden),
            key=lambda weight: (weight.first is None, weight.first or last, weight.index),
        )
        self._names = Names(self._ordered)
        self._changed: list[str] = []

    def tensors(self) -> dict[str, StoredTensor]:
        return {
            tensor.name: tensor for weight in self._ordered for tensor in self._of_weight(weight)
        }

    def warnings(self) -> Iterator[str]:
        """What a user should know about the values."""
        if self._changed:
            yield (
                f"operators change {enumerated(self._changed, 3)} before a layer uses it; it is"
                " measured as it is stored"
            )
        for operator, count in self._flow.unread.items():
            yield (
                f"the weights of {count} operator{'s' * (count > 1)} {excerpt(operator, 40)}"
                " of ai.onnx.ml were not read"
            )

    def _of_weight(self, weight: Weight) -> Iterator[StoredTensor]:
        found = _chosen(weight)
        if found is None:
            yield self._unused(weight, self._stored(weight, self._names.of(weight)))
            return
        directions = [one for one in weight.found if _direction(weight, one) is not None]
        if found.use.kind == "recurrent" and directions:
            seen: set[int] = set()
            for one in directions:
                direction = _direction(weight, one)
                if direction is not None and direction not in seen:
                    seen.add(direction)
                    yield self._layer(weight, one, self._names.of_direction(weight, one))
            return
        yield self._layer(weight, found, self._names.of(weight))

    def _layer(self, weight: Weight, found: Found, name: str) -> StoredTensor:
        stored = self._stored(weight, name)
        steps = found.steps or ()
        if arranged_shape(stored.shape, steps) is not None:
            stored = arranged_noise(arranged(stored, steps), steps)
        if found.changed:
            self._changed.append(name)
        return replace(stored, kind=found.use.kind)

    def _unused(self, weight: Weight, stored: StoredTensor) -> StoredTensor:
        """A tensor that is no operator's weight, with the reason if it cannot be one."""
        if weight.companion is not None:
            return replace(stored, joined=_SCALES)
        if weight.bias_of is not None:
            return replace(stored, joined="bias")
        if len(stored.shape) < 2 or not stored.dtype.startswith(("float", "bfloat")):
            return stored
        if weight.first is None and self._has_nodes:
            return replace(stored, joined="no operator uses it")
        if is_anonymous(weight.name) and weight.is_known and weight.takers:
            return replace(stored, joined=f"constant of {enumerated(sorted(weight.takers), 3)}")
        return stored

    def _stored(self, weight: Weight, name: str) -> StoredTensor:
        if isinstance(weight.tensor, Tensor):
            return self._values.stored(name, weight.tensor, weight.index)
        return weight.tensor.tensor(self._values, name, weight.index)


def _chosen(weight: Weight) -> Optional[Found]:
    """The use that says the most, None if the tensor is no operator's weight."""
    fitting = [
        found
        for found in weight.found
        if found.steps is None or arranged_shape(weight.tensor.shape, found.steps) is not None
    ]
    fitting.sort(key=lambda found: (_ORDER.index(found.use.kind), found.changed))
    return fitting[0] if fitting else None


def _direction(weight: Weight, found: Found) -> Optional[int]:
    """Which direction of a recurrent layer's whole weight it is, None if it is laid otherwise."""
    steps = found.steps or ()
    if not steps or not isinstance(steps[-1], Picked):
        return None
    fits = arranged_shape(weight.tensor.shape, steps) is not None
    return steps[-1].direction if fits else None
