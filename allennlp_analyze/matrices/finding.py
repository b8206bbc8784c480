"""Finds the weight matrices of a model: which tensors are matrices, and of what kind."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.matrices.adapters import Adapter
from allennlp_analyze.matrices.assembled import flattened, pruned, weight_normed
from allennlp_analyze.matrices.block import Block
from allennlp_analyze.matrices.experts import expert_blocks, file_name, listed_name
from allennlp_analyze.matrices.fused import fused_blocks
from allennlp_analyze.matrices.heads import heads_for, heads_of_layer, heads_of_part
from allennlp_analyze.matrices.kinds import infer_kinds, split_name, transposed_groups, words_of
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import ModuleFacts, ModuleTable
from allennlp_analyze.matrices.not_learned import buffer_by_name, why_not_learned
from allennlp_analyze.matrices.unread import unread_weights
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.sources.blocks import Decode, as_stored
from allennlp_analyze.sources.small_floats import EXPONENTS
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor

_GATES = {
    4: ("input gate", "forget gate", "cell gate", "output gate"),
    3: ("reset gate", "update gate", "new gate"),
}


@dataclass(frozen=True)
class _Part:
    """One matrix of a tensor: its label, its shape, and how to take it from the values."""

    label: Optional[str]
    shape: tuple[int, int]
    take: Callable[[np.ndarray], np.ndarray] = field(repr=False, compare=False)


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

    The weight of a layer with weight normalization or pruning is assembled as in torch.
    `split_gates` adds the matrix of each gate of a recurrent layer after the whole matrix,
    `split_heads` that of each head after a projection of attention, if config.json says how many
    there are. A module's experts have the names that they will have in its file. The factors of
    `adapters` are skipped, since their products are measured instead.
    """
    places = {split_name(name): tensor for name, tensor in source.tensors.items()}
    finder = _Finder(
        source, modules or ModuleTable(), infer_kinds(source), places, split_gates, split_heads
    )
    matrices: list[WeightMatrix] = []
    skipped: list[Skipped] = []
    tied = finder.tied()
    factors = {name: adapter.name for adapter in adapters for name in adapter.parameters}
    for tensor in source.tensors.values():
        if tensor.name in factors:
            of = f"factor of the adapter of {factors[tensor.name]}"
            skipped.append(Skipped(tensor.name, tensor.shape, of))
            continue
        reason = finder.why_not(tensor)
        first = tied.get(tensor.storage, [tensor.name])[0]
        if reason is None and first != tensor.name:
            reason = f"tied to {first}"
        if reason is None:
            matrices.extend(finder.matrices(tensor, tied[tensor.storage]))
        else:
            weights = unread_weights(tensor, source.config, places)
            skipped.append(Skipped(tensor.name, tensor.shape, reason, weights=weights))
    skipped += [Skipped(x.name, x.shape, x.reason) for x in source.left_out]
    return matrices, skipped


@dataclass(frozen=True)
class _Finder:
    """Walks over one source and decides what each tensor is."""

    source: Source
    modules: ModuleTable
    kinds: dict[str, str]
    places: dict[tuple[str, str], StoredTensor]
    split_gates: bool
    split_heads: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors by name."""
        return {name: tensor.shape for name, tensor in self.source.tensors.items()}

    def tied(self) -> dict[object, list[str]]:
        """Returns the names of the tensors to analyze, grouped by the memory that they share."""
        names: dict[object, list[str]] = {}
        for tensor in self.source.tensors.values():
            if self.why_not(tensor) is None:
                names.setdefault(tensor.storage, []).append(tensor.name)
        return names

    def why_not(self, tensor: StoredTensor) -> Optional[str]:
        """Returns the reason for skipping `tensor`, or None if it is analyzed."""
        if tensor.unsupported is not None or tensor.joined is not None:
            return tensor.unsupported or tensor.joined
        if not tensor.dtype.startswith(("float", "bfloat")):
            return f"{tensor.dtype}: not floating point"
        if tensor.dtype == EXPONENTS:
            return "scales of quantization: not a matrix"
        if tensor.is_buffer or self.modules.is_buffer(tensor.name):
            return "buffer: not trained"
        if tensor.name in self.modules.frozen:
            return "frozen: not trained"
        # A parameter is trained, whatever its name says.
        trained = tensor.name in self.modules.trained or tensor.is_buffer is False
        found = None if trained else buffer_by_name(tensor.name)
        return found or self._shape_reason(tensor) or why_not_learned(tensor, self.places)

    def _shape_reason(self, tensor: StoredTensor) -> Optional[str]:
        module, leaf = split_name(tensor.name)
        shape = tensor.shape
        if not shape:
            return "scalar"
        if 0 in shape:
            return "no values: a dimension is 0"
        if "bias" in (words_of(leaf)[:1] + words_of(leaf)[-1:]) or leaf.endswith("biases"):
            return "bias"
        bias = self._beside(tensor, "weight", "bias")
        if bias is not None and bias.shape == shape and not self._is_trained_table(tensor):
            return "normalization: a scale, not a matrix"
        if self._beside(tensor, "weight_g", "weight_v") is not None:
            return f"weight normalization: multiplied into {module}.weight_v"
        if len(shape) == 1:
            return "vector"
        if len(shape) > 2 and leaf != "weight" and sum(size > 1 for size in shape) < 2:
            return "vector"
        return None

    def _is_trained_table(self, tensor: StoredTensor) -> bool:
        """Whether a module that is no normalization trains `tensor`, of two or more dimensions."""
        facts = self.modules.get(tensor.name)
        named = facts is None or "norm" in facts.module_class.lower()
        return not named and tensor.name in self.modules.trained and len(tensor.shape) > 1

    def matrices(self, tensor: StoredTensor, names: list[str]) -> Iterator[WeightMatrix]:
        """Yields the matrices of `tensor`, which all of `names` share."""
        facts = next(filter(None, (self.modules.get(name) for name in names)), None)
        kind = facts.kind if facts else (tensor.kind or self.kinds[tensor.name])
        stated = "graph" if tensor.kind else "inferred"
        load, decode = self._loader(tensor)
        for part in self._parts(tensor, kind, facts):
            name = self._layer_name(tensor.name)
            yield WeightMatrix(
                name=self._part_name(name, tensor.name, part.label, facts),
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
            )

    def _layer_name(self, parameter: str) -> str:
        layer = parameter[: -len(".weight")] if parameter.endswith(".weight") else parameter
        return parameter if layer in self.source.tensors else layer

    def _part_name(
        self, name: str, parameter: str, label: Optional[str], facts: Optional[ModuleFacts]
    ) -> str:
        config = self.source.config
        if facts is not None:
            listed = listed_name(parameter, label, config)
            if listed is not None:
                return listed
            name = file_name(name, config)
        return name if label is None else f"{name}[{label}]"

    def _parts(
        self, tensor: StoredTensor, kind: str, facts: Optional[ModuleFacts]
    ) -> Iterator[_Part]:
        shape = tensor.shape
        if len(shape) > 2:
            yield from self._folded_parts(tensor, kind, facts)
        elif blocks := fused_blocks(tensor.name, shape, self.source.config, self.shapes):
            heads = heads_for(tensor.name, self.source.config) if self.split_heads else None
            for block in blocks:
                yield _block(shape, block)
                inner = heads_of_part(block, heads) if heads else ()
                yield from (_block(shape, head) for head in inner)
        else:
            yield _full_matrix(shape)
            if self.split_heads:
                yield from (_block(shape, head) for head in self._heads(tensor, facts))
            if kind == "recurrent" and self.split_gates:
                yield from _row_blocks(shape, _GATES.get(self._gates(tensor, facts), ()))

    def _folded_parts(
        self, tensor: StoredTensor, kind: str, facts: Optional[ModuleFacts]
    ) -> Iterator[_Part]:
        if kind == "convolution":
            inferred = 0 if tensor.kind else transposed_groups(self.source, tensor.name)
            yield _convolution(tensor.shape, facts.transposed_groups if facts else inferred)
            return
        shape = tensor.shape
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        matrices = kind == "bilinear" or tensor.name.endswith("_matrix")
        stack = len(shape) == 3 and kind != "embedding" and shape[0] <= max(shape[1:])
        if len(shape) == 3 and (matrices or stack):
            parts = self._parts_of_experts(tensor)
            # A file of listed experts has gate and up, but no matrix of both.
            listed = facts is not None and parts != ()
            listed = listed and listed_name(tensor.name, "0, gate", self.source.config) is not None
            for index in range(shape[0]):
                whole = _slice(tensor.shape, shape, index)
                if not listed:
                    yield whole
                yield from (_block_of(whole, block) for block in parts)
        else:
            yield _unfolded(shape)

    def _parts_of_experts(self, tensor: StoredTensor) -> tuple[Block, ...]:
        module, leaf = split_name(tensor.name)
        down = self.places.get((module, "down_proj"))
        if leaf != "gate_up_proj" or down is None or len(tensor.shape) != 3:
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
        layer = leaf[len("weight_ih") :]
        if not leaf.startswith(("weight_ih", "weight_hh")):
            return 0
        if facts:
            return facts.gates
        hidden = self.places.get((module, "weight_hr" + layer))
        hidden = hidden or self.places.get((module, "weight_hh" + layer)) or tensor
        rows, columns = tensor.shape[0], hidden.shape[-1]
        return rows // columns if rows % columns == 0 else 0

    def _loader(self, tensor: StoredTensor) -> tuple[Callable[[], np.ndarray], Decode]:
        """Returns the functions that load and decode the tensor's values."""
        magnitude = self._beside(tensor, "weight_v", "weight_g")
        mask = self._beside(tensor, "weight_orig", "weight_mask")
        if magnitude is not None:
            return partial(weight_normed, tensor, magnitude), as_stored
        if mask is not None and mask.shape == tensor.shape:
            return partial(pruned, tensor, mask), as_stored
        return tensor.stored, tensor.decode

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


def _full_matrix(shape: tuple[int, ...]) -> _Part:
    return _Part(None, (shape[0], shape[1]), lambda values: values)


def _unfolded(shape: tuple[int, ...]) -> _Part:
    """Returns the matrix first dimension x all other dimensions."""
    flat = (shape[0], math.prod(shape[1:]))
    return _Part(None, flat, lambda values: flattened(values.reshape(shape)))


def _slice(stored: tuple[int, ...], shape: tuple[int, ...], index: int) -> _Part:
    """Returns the matrix at `index` of a stack of `shape`, stored with extra leading ones."""
    leading = (0,) * (len(stored) - len(shape))
    return _Part(str(index), (shape[1], shape[2]), lambda values: values[leading + (index,)])


def _block(shape: tuple[int, ...], block: Block) -> _Part:
    """Returns a part of a tensor of two dimensions."""
    return _Part(block.label, block.shape(shape), block.take)


def _block_of(whole: _Part, block: Block) -> _Part:
    """Returns a part of the matrix `whole`."""
    return _Part(
        f"{whole.label}, {block.label}",
        block.shape(whole.shape),
        lambda values: block.take(whole.take(values)),
    )


def _row_blocks(shape: tuple[int, ...], labels: tuple[str, ...]) -> Iterator[_Part]:
    """Yields equal blocks of rows, one for each label."""
    rows = shape[0] // max(len(labels), 1)
    for index, label in enumerate(labels):
        yield _Part(label, (rows, shape[1]), partial(_rows, index * rows, (index + 1) * rows))


def _rows(start: int, stop: int, values: np.ndarray) -> np.ndarray:
    return values[start:stop]


def _convolution(shape: tuple[int, ...], transposed_groups: int) -> _Part:
    """out x (in / groups * kernel); a transposed one is stored in x (out / groups) x kernel."""
    if not transposed_groups:
        return _unfolded(shape)
    groups, inputs = transposed_groups, shape[0] // transposed_groups

    def take(values: np.ndarray) -> np.ndarray:
        grouped = values.reshape(groups, inputs, *shape[1:])
        return flattened(np.swapaxes(grouped, 1, 2), leading=2)

    return _Part(None, (shape[1] * groups, inputs * math.prod(shape[2:])), take)
