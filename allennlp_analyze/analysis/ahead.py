"""Says which bytes of a model on a server an analysis will read, and in which order."""

from collections.abc import Collection, Iterator, Sequence
from typing import Optional

from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.linalg.schedule import largest_first
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.vectors import vectors
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.remote_block import RemoteBlock
from allennlp_analyze.sources.source import Source


def asked_for(
    chosen: Sequence[WeightMatrix], settings: Settings
) -> Optional[Sequence[WeightMatrix]]:
    """Returns the matrices `chosen` if only some kinds or layers were asked for, else None."""
    return None if settings.kinds is None and settings.layers is None else chosen


def expect(
    source: Source,
    chosen: Sequence[WeightMatrix],
    skipped: Sequence[Skipped],
    settings: Settings,
    done: Collection[int] = (),
) -> None:
    """Let the bytes of the matrices `chosen`, but for those that are `done`, be fetched ahead.

    With them come the vectors that are searched for NaN. Does nothing for files on disk.
    """
    if not any(tensor.remote for tensor in source.tensors.values()):
        return
    blocks = list(needed(source, chosen, skipped, settings, done))
    if blocks:
        blocks[0].file.expect(blocks)


def needed(
    source: Source,
    chosen: Sequence[WeightMatrix],
    skipped: Sequence[Skipped],
    settings: Settings,
    done: Collection[int] = (),
) -> Iterator[RemoteBlock]:
    """Yields the bytes on servers that an analysis reads, in the order of `linalg.schedule`."""
    alone, together = largest_first([matrix.shape for matrix in chosen], this_machine())
    for index in (*alone, *together):
        matrix = chosen[index]
        if index not in done and min(matrix.shape) <= settings.max_dim:
            yield from source.tensors[matrix.parameter].remote
    for tensor in vectors(source, skipped, asked_for(chosen, settings)):
        yield from tensor.remote
