"""Infers the kind of layer of each weight tensor from names, shapes and the archive."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.matrices.fused import is_stacked_expert
from allennlp_analyze.matrices.names import joined, looked_through, split_name, stands_for
from allennlp_analyze.matrices.vocabularies import table_sizes
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import INPUTS_LAST, OUTPUTS_LAST
from allennlp_analyze.text.words import words_of

Shape = tuple[int, ...]

_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+(_reverse)?)?")
_ATTENTION_LEAF = re.compile(r"in_proj_weight|[qkv]_proj_weight|_?(weight|[uvw])_(matrix|vector)")
_LARGEST_KERNEL = 11

# The last word of a Linear's name says what it does; that of an Embedding says what it contains.
_OPERATIONS = frozenset(
    "proj projs projection projections projector linear linears linearity lin dense fc ffn mlp"
    " feedforward head heads out output outputs classifier classifiers scorer score predictor"
    " decoder transform mapping map net reduction reduce gate up down wi wo wq wk wv q k v o r qkv"
    " query queries key keys value values pooler adapter logits tagger hidden kernel".split()
)
_WEAK_OPERATIONS = _OPERATIONS | {"layer", "layers", "classification", "input", "project"}
_EMBEDDINGS = frozenset(
    "embed embeds embedding embeddings embedder embedders emb embs wte wpe".split()
)
_TABLES = _EMBEDDINGS | frozenset(
    "shared marker markers lookup table tables codebook vocab vocabulary bias biases".split()
)
_BIASES = frozenset(("bias", "biases"))
_NORMS = frozenset("norm norms ln layernorm batchnorm groupnorm rmsnorm".split())
_BILINEAR = frozenset("bilinear bilinears biaffine trilinear".split())
_EXPERTS = frozenset("expert experts exps chexps moe".split())
_CONVOLUTIONS = frozenset("cnn cnns tdnn convolution convolutions deconv patch".split())
_SAMPLING = ("conv", "upsampl", "downsampl")
_ATTENTION = frozenset("attention attentions attn".split())


def bare_parameter_kind(leaf: str, in_attention: bool, in_experts: bool = False) -> str:
    """Returns the kind of a parameter that is not the `weight` of a layer.

    `in_attention` says that its module computes attention, `in_experts` that it is a mixture of
    experts, each of which consists of Linear layers.
    """
    words = words_of(leaf)
    if _RECURRENT.fullmatch(leaf):
        return "recurrent"
    if _ATTENTION_LEAF.fullmatch(leaf):
        return "attention"
    if _EMBEDDINGS & set(words):
        return "embedding"
    if in_experts and words and words[-1] in _OPERATIONS:
        return "linear"
    return "attention" if in_attention or _ATTENTION & set(words) else "other"


def is_experts(module: str) -> bool:
    """Whether the path `module` is that of a mixture of experts."""
    return bool(_EXPERTS & set(words_of(_component(module))))


def is_attention(module: str) -> bool:
    """Whether the path `module` is that of an attention, or of a part of one."""
    return any(_ATTENTION & set(words_of(part)) for part in looked_through(module).split(".")[-2:])


def last_word_is_an_operation(module: str) -> bool:
    """Whether the name of a module says what it does, as that of a Linear: "down_proj"."""
    return bool(_OPERATIONS & set(words_of(_component(module))[-1:]))


def is_norm(module: str) -> bool:
    """Whether the path `module` is that of a normalization."""
    return bool(_NORMS & set(words_of(_component(module))))


def infer_kinds(source: Source) -> dict[str, str]:
    """Returns the kind (one of `settings.KINDS`) of every tensor of two or more dimensions.

    Wrappers in a name are looked through, and what is stored of a parametrized parameter counts as
    that parameter. A `kernel` of JAX or TensorFlow has rules of its own (`_kernel_kind`). Otherwise
    the first rule that applies decides:

    1. Names that torch fixes: `weight_ih_l0` (recurrent), `in_proj_weight` (attention). Other
       parameters that are not the `weight` of a layer: by the words of their name, else `other`.
    2. Three dimensions and more: see `_folded_kind`.
    3. A bias with as many values as the weight has rows: a Linear. With as many as it has columns:
       a Conv1D of transformers, which is a Linear stored transposed. With as many as the weight has
       values: `other`. An Embedding never has a bias.
    4. Without a bias: by the words of the module's name, the last word first, so "embed_proj" is a
       Linear.
    5. The number of rows is the size of a vocabulary, or the next layer of a sequence takes the
       columns, not the rows: an Embedding.
    6. Inside a numbered block, or in a model without any biases: a Linear.
    7. Otherwise it is the only layer without a bias: an Embedding.

    Tied tensors have the same kind: an Embedding if any of their names is one.
    """
    shapes = {name: tensor.shape for name, tensor in source.tensors.items()}
    model = _Model(
        shapes=shapes,
        layouts={name: x.layout for name, x in source.tensors.items() if x.layout is not None},
        table_sizes=frozenset(table_sizes(source)),
        has_biases=_has_biases(shapes),
        norms=_norms(shapes),
    )
    kinds = {name: _kind(model, name) for name, shape in model.shapes.items() if len(shape) > 1}
    embeddings = {source.tensors[name].storage for name in kinds if kinds[name] == "embedding"}
    for name in kinds:
        if source.tensors[name].storage in embeddings:
            kinds[name] = "embedding"
    return kinds


def transposed_groups(source: Source, name: str) -> int:
    """Returns the groups of the transposed convolution `name`, 0 for another layer.

    torch stores in x out/groups x kernel, and the bias has `out` values.
    """
    module, leaf = split_name(name)
    shape = source.tensors[name].shape
    bias = source.tensors.get(joined(module, "bias"))
    named = bool({"transpose", "transposed", "deconv"} & set(words_of(_component(module))))
    if stands_for(leaf) != "weight" or len(shape) < 3:
        return 0
    if bias is None or len(bias.shape) != 1 or bias.shape[0] % shape[1]:
        return int(named)
    if not named and (bias.shape[0] == shape[0] or bias.shape[0] != shape[1]):
        return 0
    groups = bias.shape[0] // shape[1]
    return groups if shape[0] % groups == 0 else int(named)


@dataclass(frozen=True)
class _Model:
    """The facts about a model that the rules use.

    `table_sizes` are the numbers of Embedding rows that vocabularies and configuration mention.
    `has_biases` says whether any layer with a two-dimensional weight has a bias. `norms` gives the
    width of the first normalization in each module, by the module's path. `layouts` are those of
    tensors that are laid out otherwise than torch's.
    """

    shapes: Mapping[str, Shape]
    layouts: Mapping[str, str]
    table_sizes: frozenset[int]
    has_biases: bool
    norms: Mapping[str, int]

    def bias(self, module: str) -> Optional[Shape]:
        return self.shapes.get(joined(module, "bias"))

    def norm_width(self, module: str) -> Optional[int]:
        """Width of the normalization beside `module` or beside the list that contains it.

        `module` has no wrappers in its path.
        """
        parent = module.rpartition(".")[0]
        return self.norms.get(parent, self.norms.get(parent.rpartition(".")[0]))


def _kind(model: _Model, name: str) -> str:
    owner, leaf = split_name(name)
    leaf = stands_for(leaf)
    shape = model.shapes[name]
    module = looked_through(owner)
    layout = model.layouts.get(name)
    if layout == OUTPUTS_LAST:
        return _kernel_kind(model, owner, leaf, len(shape))
    if layout == INPUTS_LAST:
        shape = (shape[0], shape[-1], *shape[1:-1])
    if is_stacked_expert(name):
        return "linear"
    if leaf != "weight":
        return bare_parameter_kind(leaf, is_attention(module), is_experts(module))
    bias = model.bias(owner)
    if len(shape) > 2:
        return _folded_kind(module, shape, bias)
    if bias is not None and bias in (shape[:1], shape[1:]):
        return "linear"
    if bias == shape:
        return "other"  # as many biases as weights: no layer of torch's
    return _kind_by_words(model, module, shape) or _kind_by_place(model, module, shape)


def _kernel_kind(model: _Model, module: str, leaf: str, dimensions: int) -> str:
    """Returns the kind of a `kernel` of JAX or TensorFlow."""
    recurrent = "recurrent_kernel"
    if leaf == recurrent or joined(module, recurrent) in model.shapes:
        return "recurrent"
    return "linear" if dimensions == 2 or heads_side(module, dimensions) else "convolution"


def heads_side(module: str, dimensions: int) -> Optional[str]:
    """Returns which side of a kernel of three dimensions is divided into heads.

    It is the outputs of Flax's `query`, `key` and `value`, and the inputs of its `out`; None for a
    convolution.
    """
    own = words_of(_component(module))[-1:]
    if dimensions != 3 or not own:
        return None
    if own[0] in ("query", "key", "value", "q", "k", "v"):
        return "outputs"
    return "inputs" if own[0] in ("out", "o") else None


def _folded_kind(module: str, shape: Shape, bias: Optional[Shape]) -> str:
    """Returns the kind of a layer's weight of three dimensions or more.

    A name with bilinear, expert or convolution decides. Otherwise four dimensions and more are a
    convolution. With three (out x in x kernel, or out x in1 x in2) the last one decides: a kernel
    is short, and the two inputs of a bilinear form often have the same size. A bias of `out` values
    does not help, because both have it; a long last dimension without a bias is a stack of
    matrices.
    """
    words = {word for part in module.split(".") for word in words_of(part)}
    if _BILINEAR & words:
        return "bilinear"
    if len(shape) > 3 or _CONVOLUTIONS & words or any(word.startswith(_SAMPLING) for word in words):
        return "convolution"
    if _EXPERTS & words:
        return "linear" if last_word_is_an_operation(module) else "other"
    if shape[2] == 1 or (shape[2] <= _LARGEST_KERNEL and shape[2] != shape[1]):
        return "convolution"
    return "bilinear" if bias is None or bias == shape[:1] else "other"


def _kind_by_words(model: _Model, module: str, shape: Shape) -> Optional[str]:
    """Rule 4. The parent's name counts if the module's own is not known ("embeddings.word")."""
    component = _component(module)
    words = words_of(component)
    if words[:1] == ["pe"]:  # positional embeddings of queries or keys: pe_k
        return "embedding"
    if last_word_is_an_operation(module):
        return "linear"
    parent = _component(module.rpartition(".")[0])
    table = _TABLES & set(words)
    if not table and _WEAK_OPERATIONS & set(words):
        return "linear"
    if table or _EMBEDDINGS & set(words_of(parent)[-1:]):
        # If the rows of an "embedding", not its columns, match the width of the next normalization,
        # it maps features to that width: a Linear. A table of biases has no width of the model.
        width = None if _BIASES & set(words) else model.norm_width(module)
        return "linear" if shape[0] == width != shape[1] else "embedding"
    return None


def _kind_by_place(model: _Model, module: str, shape: Shape) -> str:
    """Rules 5 to 7."""
    if shape[0] in model.table_sizes or _feeds_the_next(model, module, shape):
        return "embedding"
    numbered = any(re.search(r"\d$", part) for part in module.split("."))
    return "linear" if numbered or not model.has_biases else "embedding"


def _feeds_the_next(model: _Model, module: str, shape: Shape) -> bool:
    """Whether the rows, not the outputs, of a numbered layer are what the next layer takes.

    The next one has a bias, so that these are not the parallel layers of a list.
    """
    parent, _, number = module.rpartition(".")
    if not number.isdecimal() or len(number) > 9:
        return False
    following = joined(parent, str(int(number) + 1))
    bias, weight = model.bias(following), model.shapes.get(joined(following, "weight"), ())
    return len(weight) == 2 and bias == weight[:1] and shape[0] != shape[1] == weight[1]


def _has_biases(shapes: Mapping[str, Shape]) -> bool:
    weights = (split_name(name) for name, shape in shapes.items() if len(shape) == 2)
    return any(leaf == "weight" and joined(module, "bias") in shapes for module, leaf in weights)


def _norms(shapes: Mapping[str, Shape]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for name, shape in shapes.items():
        module, leaf = split_name(name)
        scale = leaf in ("weight", "gamma", "scale") and len(shape) == 1
        if scale and _NORMS & set(words_of(_component(module))):
            widths.setdefault(looked_through(module).rpartition(".")[0], shape[0])
    return widths


def _component(module: str) -> str:
    """Returns the last part of a path that is not a number or a wrapper such as `_module`."""
    for part in reversed(looked_through(module).split(".")):
        if not part.isdigit():
            return part
    return ""
