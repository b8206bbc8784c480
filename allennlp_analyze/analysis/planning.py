"""Plans the analysis of one model from the headers of its files; no values are read."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from allennlp_analyze.analysis.ahead import needed
from allennlp_analyze.analysis.choosing import require_eigensolver
from allennlp_analyze.analysis.opened import matrices_of, opened
from allennlp_analyze.analysis.refusing import refuse_nothing
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.analysis.trial import this_speed
from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.machine import BASE_BYTES, memory, this_machine
from allennlp_analyze.linalg.schedule import largest_first
from allennlp_analyze.linalg.speed import Speed
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.plan import Plan, PlannedKind
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.remote_block import RemoteBlock
from allennlp_analyze.sources.source import Source

# What is kept of each matrix beside its singular values (`python -m scripts.benchmarks.small`).
RESULT_BYTES = 5 * 1024


def plan_archive(
    reading: Reading, settings: Settings, quiet: bool = True, speed: Optional[Speed] = None
) -> Plan:
    """Plan the analysis of the model that `reading` names.

    Of a weights file only the header is read, or fetched; an archive must be unpacked to find its
    weights. `speed` is measured, or remembered, if it is not given. Raises `SourceError`, also for
    a URL of which a header alone cannot be read, and `OptionError` for settings that no run has.
    """
    require_eigensolver(settings)
    with opened(reading, quiet, header_only=True) as source:
        return plan_source(source, settings, speed or this_speed(settings))


def plan_source(source: Source, settings: Settings, speed: Speed) -> Plan:
    """Plan the analysis of an opened source; tensors whose values would tell count as matrices."""
    source = _without_values(source)
    matrices = matrices_of(source, None, settings)
    found, skipped = matrices.chosen, matrices.skipped
    if not matrices.adapters:
        refuse_nothing(source.archive, matrices.every, found, skipped)
    chosen = [matrix for matrix in found if min(matrix.shape) <= settings.max_dim]
    shapes = [matrix.shape for matrix in chosen]
    machine = this_machine()
    jobs = settings.jobs or machine.cores
    fetched = needed(source, chosen, skipped, settings)
    everything = (block for tensor in source.tensors.values() for block in tensor.remote)
    return Plan(
        archive=source.archive,
        matrices=len(chosen),
        weights=sum(rows * columns for rows, columns in shapes),
        seconds=speed.total(shapes, jobs, machine),
        memory=_memory(shapes, jobs),
        fetched=_bytes(fetched),
        remote=_bytes(everything),
        cores=machine.cores,
        jobs=jobs,
        kinds=_kinds(chosen, speed),
        largest=max(chosen, key=lambda x: speed.seconds(x.shape)).name if chosen else None,
        too_large=tuple(x.name for x in found if min(x.shape) > settings.max_dim),
        skipped=len(skipped),
        warnings=source.warnings,
    )


def _bytes(blocks: Iterable[RemoteBlock]) -> int:
    return sum({(block.file, block.start): block.nbytes for block in blocks}.values())


def _memory(shapes: Sequence[tuple[int, int]], jobs: int) -> int:
    """The bytes of the largest matrices that are measured at the same time, and of all results."""
    alone, together = largest_first(shapes, this_machine())
    one = max((memory(shapes[i]) for i in alone), default=0)
    side_by_side = sorted((memory(shapes[i]) for i in together), reverse=True)[:jobs]
    results = sum(RESULT_BYTES + 8 * min(shape) for shape in shapes)
    return BASE_BYTES + results + max(one, sum(side_by_side))


def _kinds(chosen: Iterable[WeightMatrix], speed: Speed) -> tuple[PlannedKind, ...]:
    """Returns what each kind takes, the most expensive first."""
    found: dict[str, list[WeightMatrix]] = {}
    for matrix in chosen:
        found.setdefault(matrix.kind, []).append(matrix)
    kinds = (
        PlannedKind(
            kind,
            len(some),
            sum(int(np.prod(x.shape)) for x in some),
            sum(speed.seconds(x.shape) for x in some),
        )
        for kind, some in found.items()
    )
    return tuple(sorted(kinds, key=lambda kind: -kind.seconds))


def _without_values(source: Source) -> Source:
    """Returns the source with tensors that can be described but not read."""
    return replace(
        source,
        tensors={
            name: tensor if tensor.load is None else replace(tensor, load=_unread)
            for name, tensor in source.tensors.items()
        },
    )


def _unread() -> np.ndarray:
    raise TensorError("is not read for a plan")
