"""Finds the rows of a tall matrix without weights: dead units that lose no direction."""

import math

import numpy as np

from allennlp_analyze.sources.blocks import Entries

# A row is dead if its length is below this share of the root mean square of all lengths.
FAINT_SHARE = 1e-3
# Rows of few entries can be short by chance: one in two million of M = 2 normal ones.
FEW, FAINT_SHARE_OF_FEW = 8, 1e-7
# Entries of each row that are looked at first: hardly any but a dead row is faint there.
HEAD = 16
# If more rows are so, the matrix is sparse or of low rank: no unit is dead for itself.
MOST_FAINT = 0.5


def faint_rows(entries: Entries, norm: float) -> tuple[int, ...]:
    """Returns the indices of the dead ones of the N rows (of the longer side), in order.

    `norm` is the Frobenius norm of W. () for a square, whose dead rows are lost directions, and if
    most rows are dead. Reads the first entries of each row, and whole rows only where these are
    faint.
    """
    n, m = entries.N, entries.M
    if n == m or m < 2 or not norm > 0 or not math.isfinite(norm):
        return ()
    limit = (FAINT_SHARE if m >= FEW else FAINT_SHARE_OF_FEW) * norm / math.sqrt(n)
    tall = entries.stored.shape[0] > entries.stored.shape[1]
    found: list[int] = []
    for start in range(0, n, entries.block_rows):
        rows = slice(start, start + entries.block_rows)
        block = entries.stored[rows] if tall else entries.stored[:, rows]

        def lengths(part: np.ndarray) -> np.ndarray:
            decoded = entries.decode(part) if tall else entries.decode(part).T
            with np.errstate(over="ignore", under="ignore"):
                return np.linalg.norm(np.asarray(decoded, np.float64) / norm, axis=1) * norm

        likely = np.flatnonzero(lengths(block[:, :HEAD] if tall else block[:HEAD]) <= limit)
        if len(likely) and m > HEAD:
            likely = likely[lengths(block[likely] if tall else block[:, likely]) <= limit]
        found += (start + likely).tolist()
        if len(found) > MOST_FAINT * n:
            return ()
    return tuple(found)
