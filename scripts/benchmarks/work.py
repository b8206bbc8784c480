"""The work of the speed benchmark: shapes of known networks, with values drawn from a seed."""

import re
from dataclasses import dataclass

import numpy as np

from scripts.study.make_ner_archive import heavy_tailed
from scripts.study.ner_model import FULL, parameter_shapes

Shape = tuple[int, int]
NER_LINEAR = re.compile(r"_highways|linearity|_projection")


@dataclass(frozen=True)
class Work:
    """The matrices of one network, or, where `spectrum` holds, the eigenvalues of one matrix."""

    name: str
    about: str
    shapes: tuple[Shape, ...]
    spectrum: bool = False


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


WORKS = {
    work.name: work
    for work in (
        Work("ner", "Linear layers of the NER model of 2018", ner_shapes()),
        Work("bert", "BERT-base", bert_shapes()),
        Work("vgg", "classifier of VGG16", ((4096, 25088), (4096, 4096), (1000, 4096))),
        Work("4096", "one 4096 x 4096", ((4096, 4096),)),
        Work("8192", "one 8192 x 8192", ((8192, 8192),)),
        Work("powerlaw", "power law of 4096 eigenvalues", ((4096, 4096),), spectrum=True),
        Work("tiny", "to try the script", ((900, 200), (80, 400), (120, 300), (300, 120))),
        Work("tiny-powerlaw", "to try the script", ((400, 100),), spectrum=True),
    )
}


def draw(work: Work, seed: int) -> list[np.ndarray]:
    """Float32 matrices of full rank with heavy-tailed spectra, like those of trained networks."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return [heavy_tailed(rng, shape) for shape in work.shapes]
