"""The work of the speed benchmark: shapes of known networks, with values drawn from a seed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.sources.dtypes import AsType
from scripts.study.make_ner_archive import heavy_tailed
from scripts.study.ner_model import FULL, parameter_shapes

Shape = tuple[int, int]
NER_LINEAR = re.compile(r"_highways|linearity|_projection")


@dataclass(frozen=True)
class Work:
    """The matrices of one network, or, where `spectrum` holds, the eigenvalues of one matrix.

    `dtype` is "float32" or "bfloat16".
    """

    name: str
    about: str
    shapes: tuple[Shape, ...]
    spectrum: bool = False
    dtype: str = "float32"


def ner_shapes() -> tuple[Shape, ...]:
    """The torch.nn.Linear layers of the NER model of 2018."""
    return tuple(
        (shape[0], shape[1])
        for name, shape in parameter_shapes(FULL).items()
        if len(shape) == 2 and NER_LINEAR.search(name)
    )


def bert_shapes() -> tuple[Shape, ...]:
    """Word and position embeddings, twelve layers, pooler."""
    layer = (*[(768, 768)] * 4, (3072, 768), (768, 3072))
    return ((30522, 768), (512, 768), *layer * 12, (768, 768))


def llama_block_shapes() -> tuple[Shape, ...]:
    """Queries, keys, values and their output, gate, up and down of one block of Llama 3 8B."""
    keys, network = (1024, 4096), (14336, 4096)
    return ((4096, 4096), keys, keys, (4096, 4096), network, network, (4096, 14336))


def moe_shapes(experts: int) -> tuple[Shape, ...]:
    """Gate, up and down of the experts of one block of Qwen3 30B-A3B, which has 128."""
    return ((768, 2048), (768, 2048), (2048, 768)) * experts


WORKS = {
    work.name: work
    for work in (
        Work("ner", "Linear layers of the NER model of 2018", ner_shapes()),
        Work("bert", "BERT-base", bert_shapes()),
        Work("vgg", "classifier of VGG16", ((4096, 25088), (4096, 4096), (1000, 4096))),
        Work("4096", "one 4096 x 4096", ((4096, 4096),)),
        Work("8192", "one 8192 x 8192", ((8192, 8192),)),
        Work("square", "one of each size", tuple((m, m) for m in (512, 1024, 2048, 3072))),
        Work("llama-block", "a block of Llama 3 8B", llama_block_shapes(), dtype="bfloat16"),
        Work("moe", "128 experts of Qwen3 30B-A3B", moe_shapes(128), dtype="bfloat16"),
        Work("powerlaw", "power law of 4096 eigenvalues", ((4096, 4096),), spectrum=True),
        Work("tiny", "to try the script", ((900, 200), (80, 400), (120, 300), (300, 120))),
        Work("tiny-bfloat16", "to try the script", ((300, 260),) * 3, dtype="bfloat16"),
        Work("tiny-powerlaw", "to try the script", ((400, 100),), spectrum=True),
    )
}


def draw(work: Work, seed: int) -> list[np.ndarray]:
    """Matrices of full rank with heavy-tailed spectra, like those of trained networks.

    They are float32, with values that `work.dtype` has.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    matrices = [heavy_tailed(rng, shape) for shape in work.shapes]
    if work.dtype == "bfloat16":
        for matrix in matrices:
            matrix.view(np.uint32)[...] &= np.uint32(0xFFFF0000)  # truncated, without a copy
    return matrices


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """The upper halves of float32 `values`, which is how bfloat16 is stored."""
    return (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def layers_of(matrices: Sequence[np.ndarray], dtype: str = "float32") -> list[WeightMatrix]:
    """The matrices, stored in `dtype`, as the analysis takes them."""
    if dtype == "bfloat16":
        matrices = [bfloat16_bits(one) for one in matrices]
    return [layer(f"layer_{index}", stored, dtype) for index, stored in enumerate(matrices)]


def layer(name: str, stored: np.ndarray, dtype: str) -> WeightMatrix:
    """A matrix whose bytes are those of torch's type `dtype`."""
    return WeightMatrix(
        name=name,
        parameter=f"{name}.weight",
        part=None,
        kind="linear",
        kind_source="inferred",
        shape=(stored.shape[0], stored.shape[1]),
        dtype=dtype,
        load=lambda: stored,
        decode=AsType(dtype),
    )
