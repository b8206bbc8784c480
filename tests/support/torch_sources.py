"""Sources made of torch modules, and what torch itself says of the kind of each parameter."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Optional

import numpy as np

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor


def stored(name: str, tensor: Any) -> StoredTensor:
    """`tensor` of torch as a reader would describe it."""
    where = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride()) if tensor.numel() else name
    return StoredTensor(
        name=name,
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).replace("torch.", ""),
        storage=where,
        load=partial(np.asarray, tensor.detach().numpy()),
    )


def source_of(state: Mapping[str, Any], **about: Any) -> Source:
    """The source of a state dict; `about` gives config, vocabulary and the like."""
    tensors = {name: stored(name, tensor) for name, tensor in state.items()}
    return Source("test", "test", None, "weights.th", tensors, **about)


def layer_kinds(model: Any) -> dict[str, str]:
    """The kind of every weight of two or more dimensions of torch's own layers, by isinstance."""
    from torch import nn

    kinds = {
        nn.Linear: "linear",
        nn.Embedding: "embedding",
        nn.EmbeddingBag: "embedding",
        nn.RNNBase: "recurrent",
        nn.RNNCellBase: "recurrent",
        nn.Bilinear: "bilinear",
        nn.modules.conv._ConvNd: "convolution",
        nn.MultiheadAttention: "attention",
    }
    return {
        f"{path}.{leaf}" if path else leaf: kind
        for path, module in model.named_modules()
        for layer, kind in kinds.items()
        if isinstance(module, layer)
        for leaf, parameter in module.named_parameters(recurse=False)
        if parameter.dim() > 1 and "bias" not in leaf and not leaf.endswith("_g")
    }


def numpy_source(
    arrays: "dict[str, Any]", dtype: Optional[str] = None, unsupported: Optional[str] = None
) -> Source:
    tensors = {
        name: StoredTensor(
            name,
            value.shape,
            dtype or str(value.dtype),
            name,
            partial(np.asarray, value),
            unsupported,
        )
        for name, value in arrays.items()
    }
    return Source("test", "test", None, "weights.th", tensors)


def matrices_of(source: Source, **how: Any) -> "dict[str, WeightMatrix]":
    matrices, _ = find_matrices(source, **how)
    found = {matrix.name: matrix for matrix in matrices}
    assert len(found) == len(matrices)
    return found


def reasons_of(source: Source, **how: Any) -> "dict[str, str]":
    return {one.parameter: one.reason for one in find_matrices(source, **how)[1]}
