"""Opens the model of a run and finds its matrices, in the same way here and on a worker."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.analysis.measure import select
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.matrices.adapters import Adapter, find_adapters
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import ModuleTable
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source


@dataclass(frozen=True)
class Matrices:
    """What was found in a model: all matrices, those that are chosen, and what was skipped."""

    every: Sequence[WeightMatrix]
    chosen: Sequence[WeightMatrix]
    skipped: Sequence[Skipped]
    adapters: Sequence[Adapter]


def opened(
    reading: Reading,
    quiet: bool = True,
    digest: Optional[str] = None,
    header_only: bool = False,
) -> contextlib.AbstractContextManager[Source]:
    """Open the model that `reading` names, or just its header.

    `digest` is that of its file, if it is known.
    """
    return open_source(
        reading.archive,
        reading.weights_file,
        quiet=quiet,
        max_unpacked_size=reading.limits.max_unpacked_size,
        timeout=reading.limits.timeout,
        cache=reading.limits.cache,
        sha256=reading.sha256,
        part=reading.part,
        key=reading.key,
        digest=digest,
        header_only=header_only,
    )


def matrices_of(source: Source, modules: Optional[ModuleTable], settings: Settings) -> Matrices:
    """Returns the matrices of `source`, without surroundings, which may have to be fetched.

    `modules` is None if only the weights are known.
    """
    adapters = find_adapters(source)
    every, skipped = find_matrices(
        source, modules, settings.split_gates, adapters, settings.split_heads
    )
    return Matrices(every, select(every, settings), skipped, adapters)
