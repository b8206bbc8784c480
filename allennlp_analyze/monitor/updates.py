"""What training has changed in a weight matrix since the last check: the size and rank of ΔW."""

from typing import NamedTuple, Optional

import numpy as np

from allennlp_analyze.matrices.matrix import WeightMatrix

# Up to this smaller dimension all singular values are computed; above, only the largest one.
SMALL = 64


class Update(NamedTuple):
    """`size` is ‖ΔW‖/‖W‖ (Frobenius), `stable_rank` ‖ΔW‖²/σ_max(ΔW)²; None if undefined."""

    size: Optional[float] = None
    stable_rank: Optional[float] = None


class Updates:
    """Keeps a copy of each matrix, in float32, and compares it with the next one."""

    def __init__(self) -> None:
        self._before: dict[str, np.ndarray] = {}

    def since_last(self, matrix: WeightMatrix) -> Update:
        """Returns the update of `matrix` since the last call for it. Raises `TensorError`."""
        now = np.array(matrix.values(), dtype=np.float32)
        size = _norm(now)
        if not np.isfinite(size):  # the next one is compared with the last that was
            return Update()
        before = self._before.get(matrix.name)
        self._before[matrix.name] = now
        if before is None or before.shape != now.shape:
            return Update()
        change = now - before
        changed = _norm(change)
        if not np.isfinite(changed) or size == 0:
            return Update()
        if changed == 0:
            return Update(0.0)
        return Update(changed / size, min((changed / _largest(change)) ** 2, float(min(now.shape))))

    def forget(self, name: str) -> None:
        """Keep no copy of the matrix `name`, which does not change any more."""
        self._before.pop(name, None)


def _norm(values: np.ndarray) -> float:
    return float(np.linalg.norm(values.astype(np.float64, copy=False).ravel()))


def _largest(matrix: np.ndarray) -> float:
    """Returns the largest singular value, to 4 digits."""
    unit = float(np.abs(matrix).max())  # so that squares do not underflow
    scaled = matrix / unit
    if min(matrix.shape) <= SMALL:
        return float(np.linalg.norm(scaled.astype(np.float64), 2)) * unit
    from scipy.sparse.linalg import svds

    start = np.ones(min(matrix.shape)) + np.arange(min(matrix.shape)) % 7
    (value,) = svds(scaled, k=1, tol=1e-4, v0=start, return_singular_vectors=False)
    return float(value) * unit
