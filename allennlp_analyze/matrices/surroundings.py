"""Finds what surrounds a weight matrix: normalizations, whether it is last, its side of outputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.fused import is_stacked_expert, model_type_of
from allennlp_analyze.matrices.kinds import is_attention, is_experts
from allennlp_analyze.matrices.matrix import Surroundings, WeightMatrix
from allennlp_analyze.matrices.names import looked_through, split_name
from allennlp_analyze.results.verdict import is_nearly_square
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import INPUTS_LAST, OUTPUTS_LAST, StoredTensor
from allennlp_analyze.text.words import words_of

_NORM_WORDS = frozenset("norm norms ln bn layernorm batchnorm groupnorm rmsnorm".split())
# The last words of the name of a layer whose outputs are classes.
_HEADS = frozenset("classifier classifiers logits head".split())
# A normalization whose gains are all below this scales its inputs to nothing.
_NO_GAIN = 1e-3
# Gains of more normalizations of one size would not tell more.
_MOST_GAINS = 256


@dataclass(frozen=True)
class _Norm:
    """A normalization: its path, its gain, whether it subtracts the mean over its outputs.

    `is_batch`: it has statistics of batches, and so stands right behind a layer.
    """

    path: str
    gain: StoredTensor
    is_layer: bool
    is_batch: bool

    @property
    def size(self) -> int:
        return self.gain.shape[0]


def with_surroundings(
    source: Source,
    matrices: Sequence[WeightMatrix],
    chosen: Optional[Sequence[WeightMatrix]] = None,
) -> list[WeightMatrix]:
    """Returns the `chosen` of the matrices of a model (None: all) with their `surroundings`."""
    wanted = {id(matrix) for matrix in (matrices if chosen is None else chosen)}
    norms = list(_norms(source))
    sides = [_outputs_first(source, matrix) for matrix in matrices]
    channels = [_columns_per_input(source, matrix) for matrix in matrices]
    inputs = [
        (matrix.shape[1] if first else matrix.shape[0]) // each
        for matrix, first, each in zip(matrices, sides, channels)
    ]
    taken: dict[int, int] = {}
    for matrix, size in zip(matrices, inputs):
        if matrix.kind != "embedding":
            taken[size] = taken.get(size, 0) + 1
    given = [m.shape[0] if first else m.shape[1] for m, first in zip(matrices, sides)]
    untaken = [
        taken.get(outputs, 0) == (own == outputs and matrix.kind != "embedding")
        for matrix, own, outputs in zip(matrices, inputs, given)
    ]
    heads = _heads(matrices, given, untaken)
    squares = sum(is_nearly_square(max(one.shape), min(one.shape)) for one in matrices)
    found = []
    for i, (matrix, first, each, own, outputs) in enumerate(
        zip(matrices, sides, channels, inputs, given)
    ):
        if id(matrix) not in wanted:
            continue
        module = looked_through(split_name(matrix.parameter)[0])
        after = _after(norms, module, outputs, matrix.kind)
        found.append(
            replace(
                matrix,
                surroundings=Surroundings(
                    outputs_first=first,
                    columns_per_input=each,
                    is_last=i in heads,
                    is_normalized=after is not None and _scales(after),
                    in_layer_norm=_in_layer_norm(norms, module, outputs),
                    gains=tuple(n.gain for n in norms if n.is_layer and n.size == own)[
                        :_MOST_GAINS
                    ],
                    squares=max(squares, 1),
                ),
            )
        )
    return found


def _heads(
    matrices: Sequence[WeightMatrix], outputs: Sequence[int], untaken: Sequence[bool]
) -> frozenset[int]:
    """Returns the indices of the layers whose outputs may be those of the network.

    No other layer has as many inputs. If every layer could feed another one (3 classes of points
    with 3 coordinates), it is the one that is called so, or has the fewest outputs. Queries, keys
    and values, and experts, have outputs that some operation takes.
    """
    able = [
        i
        for i, matrix in enumerate(matrices)
        if matrix.kind in ("linear", "convolution") and not _is_inner(matrix)
    ]
    found = {i for i in able if untaken[i]} or {i for i in able if _is_called_head(matrices[i])}
    if not found and able:
        fewest = min(outputs[i] for i in range(len(outputs)) if matrices[i].kind != "embedding")
        narrowest = [i for i, size in enumerate(outputs) if size == fewest]
        if len(narrowest) == 1:
            found = {i for i in narrowest if i in able}
    return frozenset(found)


def _is_inner(matrix: WeightMatrix) -> bool:
    module = looked_through(split_name(matrix.parameter)[0])
    return is_attention(module) or any(
        is_experts(module.rsplit(".", up)[0]) for up in range(min(3, module.count(".") + 1))
    )


def _is_called_head(matrix: WeightMatrix) -> bool:
    module = looked_through(split_name(matrix.parameter)[0])
    return bool(_HEADS & set(words_of(module.rpartition(".")[2])[-1:]))


def _scales(norm: _Norm) -> bool:
    """Whether the gain of a normalization lets anything through."""
    try:
        values = np.asarray(norm.gain.values(), np.float64)
    except TensorError:
        return False
    return bool((np.abs(values) >= _NO_GAIN).any())


def _norms(source: Source) -> Iterable[_Norm]:
    places: Mapping[tuple[str, str], StoredTensor] = {
        split_name(name): tensor for name, tensor in source.tensors.items()
    }
    for (path, leaf), tensor in places.items():
        if (
            leaf not in ("weight", "gamma", "scale")
            or len(tensor.shape) != 1
            or tensor.load is None
        ):
            continue
        seen = looked_through(path)
        words = set(words_of(seen.rpartition(".")[2]))
        bias = places.get((path, "beta" if leaf == "gamma" else "bias"))
        has_statistics = (path, "running_mean") in places
        if has_statistics or bias is not None or words & _NORM_WORDS:
            yield _Norm(seen, tensor, bias is not None and not has_statistics, has_statistics)


def _after(norms: Iterable[_Norm], module: str, outputs: int, kind: str) -> Optional[_Norm]:
    """The normalization of the outputs of `module`: the next one beside it, or of the same number.

    Only the names and sizes are known, so the network's order of computation is a guess. In a block
    of a transformer, a LayerNorm stands before a Linear, or behind the sum of its outputs and the
    residual, which does not become larger with them: only one of the same name (`q_proj`, `q_norm`)
    takes its outputs alone.
    """
    parent, _, own = module.rpartition(".")
    for norm in norms:
        beside, _, name = norm.path.rpartition(".")
        if beside != parent or norm.size != outputs:
            continue
        if own.isdigit() and name.isdigit():
            if int(name) == int(own) + 1:
                return norm
        elif own.isdigit() == name.isdigit() and _digits(own) == _digits(name):
            is_alone = norm.is_batch or kind == "convolution" or not _block(module)
            if is_alone or words_of(own)[:1] == words_of(name)[:1]:
                return norm
    return None


def _in_layer_norm(norms: Iterable[_Norm], module: str, outputs: int) -> bool:
    """Whether a LayerNorm of as many values as `module` has outputs is in the same block."""
    parent = module.rpartition(".")[0]
    block = _block(module) or parent
    return any(n.is_layer and n.size == outputs and _within(n.path, block) for n in norms)


def _block(module: str) -> str:
    """The path up to the last number in it: the block of a transformer."""
    parts = module.split(".")
    numbered = [i for i, part in enumerate(parts[:-1]) if part.isdigit()]
    return ".".join(parts[: numbered[-1] + 1]) if numbered else ""


def _within(path: str, block: str) -> bool:
    return not block or path.startswith(block + ".")


def _digits(name: str) -> str:
    return "".join(character for character in name if character.isdigit())


def _outputs_first(source: Source, matrix: WeightMatrix) -> bool:
    """Whether the rows are the outputs; a Conv1D of transformers has them in columns."""
    if matrix.kind_source == "graph":
        return True
    module, _ = split_name(matrix.parameter)
    if source.tensors[matrix.parameter].layout == OUTPUTS_LAST:
        return matrix.kind == "convolution"
    if _is_expert_of_inputs(source, matrix):
        return False
    bias = source.tensors.get(f"{module}.bias" if module else "bias")
    rows, columns = (
        source.tensors[matrix.parameter].shape[:2] if _is_flat(source, matrix) else (0, 0)
    )
    if bias is None or len(bias.shape) != 1 or rows == columns:
        return not _is_conv1d(source, matrix)
    return not (bias.shape[0] == columns and bias.shape[0] != rows)


def _is_expert_of_inputs(source: Source, matrix: WeightMatrix) -> bool:
    """Whether it is a fused expert that is stored inputs x outputs."""
    module, leaf = split_name(matrix.parameter)
    if leaf == "w2" and is_stacked_expert(matrix.parameter):
        return True
    gate_up = source.tensors.get(f"{module}.gate_up_proj")
    down = source.tensors.get(f"{module}.down_proj")
    if leaf not in ("gate_up_proj", "down_proj") or gate_up is None or down is None:
        return False
    if len(gate_up.shape) != 3 or len(down.shape) != 3:
        return False
    return gate_up.shape[2] == 2 * down.shape[1] and gate_up.shape[1] == down.shape[2]


def _is_flat(source: Source, matrix: WeightMatrix) -> bool:
    return len(source.tensors[matrix.parameter].shape) == 2


def _is_conv1d(source: Source, matrix: WeightMatrix) -> bool:
    """Whether a square layer without help from its bias is a Conv1D: by the model's type."""
    if matrix.module_class is not None:
        return matrix.module_class == "Conv1D"
    name = looked_through(split_name(matrix.parameter)[0]).rpartition(".")[2]
    return name in ("c_attn", "c_proj", "c_fc", "q_attn") and model_type_of(source.config) in (
        None,
        "gpt2",
    )


def _columns_per_input(source: Source, matrix: WeightMatrix) -> int:
    """Columns of an unfolded convolution for each input channel: the size of its kernel."""
    shape = source.tensors[matrix.parameter].shape
    if matrix.kind != "convolution" or len(shape) < 3:
        return 1
    layout = source.tensors[matrix.parameter].layout
    kernel = shape[:-2] if layout == OUTPUTS_LAST else shape[2:]
    kernel = shape[1:-1] if layout == INPUTS_LAST else kernel
    return max(int(np.prod(kernel)), 1)
