"""Refuses a model of which nothing can be analyzed, and says what was found in it."""

from collections.abc import Iterator, Sequence

from allennlp_analyze.analysis.measure import Analysis
from allennlp_analyze.errors import SourceError
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.text.lists import enumerated


def refuse_nothing(
    archive: str,
    matrices: Sequence[WeightMatrix],
    chosen: Sequence[WeightMatrix],
    skipped: Sequence[Skipped],
) -> None:
    """Raise `SourceError` if there is nothing to analyze; the message says what was found."""
    if chosen:
        return
    if matrices:
        raise SourceError(
            f"{archive}: kinds and layers select none of its {len(matrices)} matrices"
            f" ({', '.join(sorted({m.kind for m in matrices}))})"
        )
    names = enumerated([f"{s.parameter} ({s.reason})" for s in skipped], 5) or "nothing"
    raise SourceError(f"{archive}: no weight matrix to analyze; skipped: {names}")


def refused(archive: str, found: Analysis, max_dim: int) -> Iterator[str]:
    """Yields a line if matrices were too large. Raises `SourceError` if all of them were."""
    large = [left_out for left_out in found.skipped if min(left_out.shape) > max_dim]
    if not large:
        return
    first = f"{large[0].parameter}: {large[0].reason}"
    more = f" (and {len(large) - 1} more)" if len(large) > 1 else ""
    if not found.layers:
        raise SourceError(f"{archive}: {first}{more}")
    yield f"skipped: {first}{more}"
