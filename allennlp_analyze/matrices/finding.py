"""Finds the weight matrices of a model: which tensors are matrices, and of what kind."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.matrices.adapters import Adapter
from allennlp_analyze.matrices.assembled import flattened
from allennlp_analyze.matrices.block import Block
from allennlp_analyze.matrices.companions import Companions, find_companions
from allennlp_analyze.matrices.experts import expert_blocks, file_name, listed_name
from allennlp_analyze.matrices.fused import fused_blocks
from allennlp_analyze.matrices.heads import heads_for, heads_of_layer, heads_of_part
from allennlp_analyze.matrices.kinds import heads_side, infer_kinds, transposed_groups
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import ModuleFacts, ModuleTable
from allennlp_analyze.matrices.names import plain_name, split_name, stands_for
from allennlp_analyze.matrices.not_learned import buffer_by_name, is_gain, why_not_learned
from allennlp_analyze.matrices.parts import (
    Part,
    block_in,
    block_of,
    convolution,
    full_matrix,
    one_of,
    permuted,
    row_blocks,
    unfolded,
)
from allennlp_analyze.matrices.unread import unread_weights
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.sources.blocks import as_stored
from allennlp_analyze.sources.small_floats import EXPONENTS
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import INPUTS_LAST, StoredTensor
from allennlp_analyze.text.words import words_of

_GATES = {
    4: ("input gate", "forget gate", "cell gate", "output gate"),
    3: ("reset gate", "update gate", "new gate"),
}
_INPUT, _OUTPUT = "input_linear", "output_linear"
# Parameters whose columns are the hidden values of a recurrent layer; endings of what is stored.
_HIDDEN = ("weight_hr", "weight_hh")
_ENDINGS = ("", "_v", "_orig", "_raw")


def find_matrices(
    source: Source,
    modules: Optional[ModuleTable] = None,
    split_gates: bool = False,
    adapters: Sequence[Adapter] = (),
    split_heads: bool = False,
) -> tuple[list[WeightMatrix], list[Skipped]]:
    """Returns the weight matrices of `source` and its skipped tensors, both in state-dict order.

    A two-dimensional tensor is one matrix, even if it is 1 x N. Tensors of more dimensions:

    - convolution: out x (in / groups * kernel), the map that it applies at each position;
    - bilinear (and AllenNLP's attention with labels): one matrix per slice, A_k of
      y_k = x1^T A_k x2. Each is a map between the two inputs with its own singular values. An
      unfolded matrix out x (in1 * in2) would have only `out` of the out * min(in1, in2) values;
    - embedding: one row per index, the other dimensions are flattened;
    - attention and other: leading dimensions of size 1 are dropped. With three dimensions, a first
      one larger than the others is the width of the model, against heads * head size (XLNet);
      otherwise it counts a stack (experts) of one matrix each. With more dimensions: first x rest.

    The weight of a layer with weight or spectral normalization, pruning or an orthogonal map is
    assembled as in torch; of other parametrizations the matrix has a note.
    `split_gates` adds the matrix of each gate of a recurrent layer after the whole matrix,
    `split_heads` that of each head after a projection of attention, if config.json says how many
    there are. Experts have the names that they have in a model's published file. The factors of
    `adapters` are skipped, since their products are measured instead.
    """
    places = {split_name(name): tensor for name, tensor in source.tensors.items()}
    finder = _Finder(
        source=source,
        modules=modules or ModuleTable(),
        kinds=infer_kinds(source),
        places=places,
        companions=find_companions(source.tensors, places),
        shapes={plain_name(name): tensor.shape for name, tensor in source.tensors.items()},
        split_gates=split_gates,
        split_heads=split_heads,
    )
    matrices: list[WeightMatrix] = []
    skipped: list[Skipped] = []
    reasons = {name: finder.why_not(tensor) for name, tensor in source.tensors.items()}
    tied = _tied(x for x in source.tensors.values() if reasons[x.name] is None)
    factors = {name: adapter.name for adapter in adapters for name in adapter.parameters}
    for tensor in source.tensors.values():
        if tensor.name in factors:
            of = f"factor of the adapter of {factors[tensor.name]}"
            skipped.append(Skipped(tensor.name, tensor.shape, of))
            continue
        reason = reasons[tensor.name]
        first = tied.get(tensor.storage, [tensor.name])[0]
        if reason is None and first != tensor.name:
            reason = f"tied to {first}"
        if reason is None:
            matrices.extend(finder.matrices(tensor, tied[tensor.storage]))
        else:
            weights = finder.unread(tensor)
            skipped.append(Skipped(tensor.name, tensor.shape, reason, weights=weights))
    skipped += [Skipped(x.name, x.shape, x.reason) for x in source.left_out]
    return matrices, skipped


def _tied(tensors: Iterable[StoredTensor]) -> dict[object, list[str]]:
    """Returns the names of `tensors`, grouped by the memory that they share."""
    names: dict[object, list[str]] = {}
    for tensor in tensors:
        names.setdefault(tensor.storage, []).append(tensor.name)
    return names


@dataclass(frozen=True)
class _Finder:
    """Walks over one source and decides what each tensor is.

    `shapes` are those of all tensors, by their names without wrappers.
    """

    source: Source
    modules: ModuleTable
    kinds: dict[str, str]
    places: dict[tuple[str, str], StoredTensor]
    companions: Companions
    shapes: dict[str, tuple[int, ...]]
    split_gates: bool
    split_heads: bool

    def unread(self, tensor: StoredTensor) -> int:
        """The number of weights in a tensor that is skipped, 0 if it is no weight matrix."""
        if tensor.name in self.companions.unread:
            return math.prod(tensor.shape)
        return unread_weights(tensor, self.source.config, self.places)

    def why_not(self, tensor: StoredTensor) -> Optional[str]:
        """Returns the reason for skipping `tensor`, or None if it is analyzed."""
        if tensor.unsupported is not None or tensor.joined is not None:
            return tensor.unsupported or tensor.joined
        if not tensor.dtype.startswith(("float", "bfloat")):
            return f"{tensor.dtype}: not floating point"
        if tensor.dtype == EXPONENTS:
            return "scales of quantization: not a matrix"
        companion = self.companions.reasons.get(tensor.name)
        companion = companion or self.companions.unread.get(tensor.name)
        if companion is not None:
            return companion
        if tensor.is_buffer or self.modules.is_buffer(tensor.name):
            return "buffer: not trained"
        if tensor.name in self.modules.frozen:
            return "frozen: not trained"
        # A parameter is trained, whatever its name says.
        trained = tensor.name in self.modules.trained or tensor.is_buffer is False
        found = None if trained else buffer_by_name(tensor)
        return found or self._shape_reason(tensor) or why_not_learned(tensor, self.places)

    def _shape_reason(self, tensor: StoredTensor) -> Optional[str]:
        leaf = split_name(tensor.name)[1]
        shape = tensor.shape
        if not shape:
            return "scalar"
        if 0 in shape:
            return "no values: a dimension is 0"
        if "bias" in (words_of(leaf)[:1] + words_of(leaf)[-1:]) or leaf.endswith("biases"):
            return "bias"
        bias = self._beside(tensor, "weight", "bias")
        if bias is not None and bias.shape == shape and not self._is_table(tensor):
            return "normalization: a scale, not a matrix"
        if len(shape) == 1:
            return "vector"
        if len(shape) > 2 and stands_for(leaf) != "weight" and sum(size > 1 for size in shape) < 2:
            return "vector"
        return None

    def _is_table(self, tensor: StoredTensor) -> bool:
        """Whether `tensor`, with as many biases, has two or more dimensions and is no gain."""
        if len(tensor.shape) < 2:
            return False
        facts = self.modules.get(tensor.name)
        if facts is not None:
            is_norm = "norm" in facts.module_class.lower()
            return not is_norm and tensor.name in self.modules.trained
        return not is_gain(tensor)

    def matrices(self, tensor: StoredTensor, names: list[str]) -> Iterator[WeightMatrix]:
        """Yields the matrices of `tensor`, which all of `names` share."""
        facts = next(filter(None, (self.modules.get(name) for name in names)), None)
        kind = facts.kind if facts else (tensor.kind or self.kinds[tensor.name])
        stated = "graph" if tensor.kind else "inferred"
        assembly = self.companions.assemblies.get(tensor.name)
        assembled = None if assembly is None else assembly.load
        load = assembled or tensor.stored
        decode = tensor.decode if assembled is None else as_stored
        note = None if assembly is None else assembly.note
        for part in self._parts(tensor, kind, facts):
            name = self._layer_name(tensor.name)
            yield WeightMatrix(
                name=self._part_name(name, tensor.name, part.label),
                parameter=tensor.name,
                part=part.label,
                kind=kind,
                kind_source="module" if facts else stated,
                shape=part.shape,
                dtype=tensor.dtype,
                load=partial(_taken, load, part.take),
                module_index=facts.module_index if facts else None,
                module_class=facts.module_class if facts else None,
                tied=tuple(name for name in names if name != tensor.name),
                decode=decode,
                noise=partial(tensor.rms_error, part.take) if tensor.noise else None,
                notes=() if note is None else (note,),
            )

    def _layer_name(self, parameter: str) -> str:
        layer = parameter[: -len(".weight")] if parameter.endswith(".weight") else parameter
        return parameter if not layer or layer in self.source.tensors else layer

    def _part_name(self, name: str, parameter: str, label: Optional[str]) -> str:
        config = self.source.config
        listed = listed_name(parameter, label, config)
        if listed is not None:
            return listed
        name = file_name(name, config)
        return name if label is None else f"{name}[{label}]"

    def _parts(
        self, tensor: StoredTensor, kind: str, facts: Optional[ModuleFacts]
    ) -> Iterator[Part]:
        shape = tensor.shape
        if len(shape) > 2 and tensor.layout is not None:
            yield self._laid_out(tensor, kind)
        elif len(shape) > 2:
            yield from self._folded_parts(tensor, kind, facts)
        elif blocks := fused_blocks(tensor.name, shape, self.source.config, self.shapes):
            heads = heads_for(tensor.name, self.source.config) if self.split_heads else None
            for block in blocks:
                yield block_in(shape, block)
                inner = heads_of_part(block, heads) if heads else ()
                yield from (block_in(shape, head) for head in inner)
        else:
            yield full_matrix(shape)
            if self.split_heads:
                yield from (block_in(shape, head) for head in self._heads(tensor, facts))
            if kind == "recurrent" and self.split_gates:
                yield from row_blocks(shape, _GATES.get(self._gates(tensor, facts), ()))

    def _laid_out(self, tensor: StoredTensor, kind: str) -> Part:
        """Returns the matrix of a weight of three dimensions and more that is not torch's."""
        module, shape = split_name(tensor.name)[0], tensor.shape
        if tensor.layout == INPUTS_LAST:
            return permuted(shape, (0, len(shape) - 1, *range(1, len(shape) - 1)))
        if kind == "linear":
            leading = 2 if heads_side(module, len(shape)) == "inputs" else 1
            flat = (math.prod(shape[:leading]), math.prod(shape[leading:]))
            return Part(None, flat, partial(flattened, leading=leading))
        bias = self.places.get((module, "bias"))
        outputs, inputs = len(shape) - 1, len(shape) - 2
        if bias is not None and bias.shape == (shape[inputs],) != (shape[outputs],):
            outputs, inputs = inputs, outputs  # a transposed convolution of Keras
        return permuted(shape, (outputs, inputs, *range(len(shape) - 2)))

    def _folded_parts(
        self, tensor: StoredTensor, kind: str, facts: Optional[ModuleFacts]
    ) -> Iterator[Part]:
        if kind == "convolution":
            inferred = 0 if tensor.kind else transposed_groups(self.source, tensor.name)
            yield convolution(tensor.shape, facts.transposed_groups if facts else inferred)
            return
        shape = tensor.shape
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        matrices = kind == "bilinear" or tensor.name.endswith("_matrix")
        stack = len(shape) == 3 and kind != "embedding" and shape[0] <= max(shape[1:])
        if len(shape) == 3 and (matrices or stack):
            parts = self._parts_of_experts(tensor)
            # A file of listed experts has gate and up, but no matrix of both.
            name = listed_name(tensor.name, "0, gate", self.source.config)
            listed = parts != () and name is not None
            for index in range(shape[0]):
                whole = one_of(tensor.shape, shape, index)
                if not listed:
                    yield whole
                yield from (block_of(whole, block) for block in parts)
        else:
            yield unfolded(shape)

    def _parts_of_experts(self, tensor: StoredTensor) -> tuple[Block, ...]:
        module, leaf = split_name(tensor.name)
        down = self.places.get((module, "down_proj")) if leaf == "gate_up_proj" else None
        if leaf == "weight" and module.endswith(_INPUT):  # of Granite
            down = self.places.get((module[: -len(_INPUT)] + _OUTPUT, leaf))
        if down is None or len(tensor.shape) != 3:
            return ()
        has_biases = (module, leaf + "_bias") in self.places
        return expert_blocks(tensor.shape[1:], down.shape[1:], self.source.config, has_biases)

    def _heads(self, tensor: StoredTensor, facts: Optional[ModuleFacts]) -> tuple[Block, ...]:
        of_gpt2 = self.source.config.get("model_type") == "gpt2"
        inputs_first = facts.module_class == "Conv1D" if facts else of_gpt2
        return heads_of_layer(tensor.name, tensor.shape, self.source.config, inputs_first)

    def _gates(self, tensor: StoredTensor, facts: Optional[ModuleFacts]) -> int:
        """Number of gates by the class of a layer, or by weight_hh: (gates * hidden) x hidden.

        An LSTM's projection weight_hr (projected x hidden) has no gates. If the layer has one, its
        columns give the hidden size.
        """
        module, leaf = split_name(tensor.name)
        leaf = stands_for(leaf)
        layer = leaf[len("weight_ih") :]
        if not leaf.startswith(("weight_ih", "weight_hh")):
            return 0
        if facts:
            return facts.gates
        others = (f"{name}{layer}{ending}" for name in _HIDDEN for ending in _ENDINGS)
        hidden = next((x for x in (self.places.get((module, o)) for o in others) if x), tensor)
        rows, columns = tensor.shape[0], hidden.shape[-1]
        return rows // columns if rows % columns == 0 else 0

    def _beside(self, tensor: StoredTensor, leaf: str, other: str) -> Optional[StoredTensor]:
        """Returns the layer's parameter `other` if `tensor` is its parameter `leaf`."""
        module, own = split_name(tensor.name)
        found = self.places.get((module, other)) if own == leaf else None
        return found if found is not None and len(found.shape) == len(tensor.shape) else None


def _taken(load: Callable[[], np.ndarray], take: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    values = take(load())
    values = values.view()
    values.flags.writeable = False
    return values
