"""Finds the normalization whose output a block of attention takes, and those of queries and keys.

Weights do not say in which order a network computes, so only names that fix it are known.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.fused import model_type_of
from allennlp_analyze.matrices.names import looked_through, split_name
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor

# Names beside an attention, or in its block, of a normalization that comes before it.
_BEFORE = (
    "input_layernorm input_layer_norm input_norm ln_1 norm_1 ln_attn attn_norm attn_ln"
    " attention_norm pre_attention_norm pre_attention_layernorm layernorm_before layer_norm1"
).split()
# Models in which `self_attn_layer_norm` comes before; in others it comes after.
_PRE_NORM = frozenset(
    "whisper opt xglm biogpt mbart pegasus m2m_100 blenderbot speech_to_text".split()
)
_OWN_NORM = "self_attn_layer_norm"
# Models whose normalizations multiply by 1 + weight; llama.cpp adds the 1.
_ONE_PLUS = ("gemma", "qwen3_next", "recurrent_gemma", "nemotron")
_OF_LLAMA_CPP = "blk."
# Models whose LayerNorm has no bias.
_CENTRED = frozenset(("cohere", "cohere2", "dbrx", "mpt"))
_FROM_ELSEWHERE = re.compile(r"cross|encoder_attn|EncDec|encdec")
_HEAD_NORMS = ("{0}_norm", "{0}_layernorm", "norm_{0}", "attn_{0}_norm", "{0}_ln")
_LEAVES = ("weight", "gamma", "scale")
_NUMBERED = re.compile(r"(.*\.)(\d+)\.[^0-9]*")


@dataclass(frozen=True)
class Gain:
    """The gain of a normalization; a LayerNorm `is_centred`: it subtracts the mean."""

    tensor: StoredTensor
    is_centred: bool
    plus_one: bool = False

    @property
    def size(self) -> int:
        return self.tensor.shape[0]

    def values(self) -> np.ndarray:
        """Returns the factors (size,) in float64. Raises `TensorError`, also for NaN."""
        values = np.asarray(self.tensor.values(), np.float64) + float(self.plus_one)
        if not np.isfinite(values).all():
            raise TensorError(f"{self.tensor.name} contains NaN or infinity")
        return values


def gain_before(source: Source, attention: str, inputs: int) -> Optional[Gain]:
    """Returns the gain of the normalization before the block at the path `attention`.

    None if there is none of the size `inputs`, or keys come from elsewhere than queries.
    """
    if _FROM_ELSEWHERE.search(attention):
        return None
    for path in _candidates(source, attention):
        found = _gain(source, path)
        if found is not None and found.size == inputs:
            return found
    return None


def head_norm(source: Source, attention: str, side: str) -> Optional[Gain]:
    """Returns the gain of the normalization of queries (`side` "q") or keys ("k"), or None."""
    for form in _HEAD_NORMS:
        found = _gain(source, f"{attention}.{form.format(side)}")
        if found is not None:
            return found
    return None


def _candidates(source: Source, attention: str) -> Iterator[str]:
    seen = looked_through(attention)
    own = seen.rpartition(".")[2]
    if seen.startswith(_OF_LLAMA_CPP):
        yield f"{attention}.attn_norm"
    above = attention
    for _ in range(2):
        above = above.rpartition(".")[0]
        prefix = f"{above}." if above else ""
        for name in _BEFORE:
            yield prefix + name
        if own == "SelfAttention":
            yield f"{prefix}layer_norm"
        if own == "attn" and f"{prefix}linear1.weight" not in source.tensors:
            yield f"{prefix}norm1"  # timm; of torch's own layers it may come after
        if model_type_of(source.config) in _PRE_NORM and _is_pre_norm(source):
            yield prefix + _OWN_NORM
    yield from _of_the_block_before(source, attention)


def _is_pre_norm(source: Source) -> bool:
    return source.config.get("do_layer_norm_before") is not False


def _of_the_block_before(source: Source, attention: str) -> Iterator[str]:
    """BERT and DistilBERT normalize at the end of a block, and the embeddings."""
    found = _NUMBERED.fullmatch(attention)
    if found is None:
        return
    blocks, number = found[1], int(found[2])
    endings = (
        ("output.LayerNorm", "attention.output.LayerNorm"),
        ("output_layer_norm", "sa_layer_norm"),
    )
    for ending, other in endings:
        own = f"{blocks}{number}"
        if not all(f"{own}.{name}.weight" in source.tensors for name in (ending, other)):
            continue
        if number:
            yield f"{blocks}{number - 1}.{ending}"
        else:
            model = blocks.removesuffix(".").rpartition(".")[0].rpartition(".")[0]
            yield f"{model}.embeddings.LayerNorm" if model else "embeddings.LayerNorm"


def _gain(source: Source, path: str) -> Optional[Gain]:
    """Returns the gain of the normalization at `path`, if there is one."""
    for leaf in _LEAVES:
        tensor = source.tensors.get(f"{path}.{leaf}")
        if tensor is None or len(tensor.shape) != 1 or tensor.unsupported is not None:
            continue
        bias = f"{path}.{'beta' if leaf == 'gamma' else 'bias'}"
        kind = model_type_of(source.config) or ""
        plus_one = kind.startswith(_ONE_PLUS) and not split_name(path)[0].startswith("blk")
        return Gain(tensor, bias in source.tensors or kind in _CENTRED, plus_one)
    return None
