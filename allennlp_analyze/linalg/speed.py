"""The cost of a matrix on a machine: seconds as a sum of terms whose factors are measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allennlp_analyze.linalg.machine import Machine, seconds
from allennlp_analyze.linalg.schedule import Shape, largest_first

# For each matrix, each entry, each entry of the Gram matrix, and each second that
# `linalg.machine.seconds` estimates.
USUAL = (1e-3, 5e-9, 3e-8, 1.0)
# How sure the last one is before anything is measured: only large matrices tell it from the others.
_PRIOR = 0.1


@dataclass(frozen=True)
class Speed:
    """Seconds of one core: a + b N M + c M^2 + d times the estimate of `linalg.machine`.

    Its cubic terms are in one ratio, so that small matrices tell the time of large ones.
    """

    factors: tuple[float, ...] = USUAL

    def seconds(self, shape: Shape) -> float:
        """Returns the estimated seconds for one matrix."""
        return float(np.dot(self.factors, _terms(shape)))

    def total(self, shapes: Sequence[Shape], jobs: int, machine: Machine) -> float:
        """Returns the estimated wall seconds for all matrices, as `linalg.schedule` places them."""
        alone, together = largest_first(shapes, machine)
        one_by_one = sum(self.seconds(shapes[i]) for i in alone) / machine.cores
        each = [self.seconds(shapes[i]) for i in together]
        side_by_side = min(jobs, machine.cores)
        return one_by_one + max(sum(each) / side_by_side, max(each, default=0.0))


def fitted(shapes: Sequence[Shape], measured: Sequence[float]) -> Speed:
    """Returns the speed with the smallest errors for the `measured` seconds.

    Their squares count in proportion to the inverse seconds: large matrices tell the cubic terms,
    small ones the rest. As nothing else is known, the machine is a usual one, but for its speed
    with the matrix that took the longest.
    """
    from scipy.optimize import nnls

    longest = int(np.argmax(measured))
    faster = measured[longest] / Speed().seconds(shapes[longest])
    terms = np.array([_terms(shape) for shape in shapes])
    scales = terms.max(axis=0)
    roots = np.sqrt(np.array(measured) / faster)
    prior = np.array([0.0, 0.0, 0.0, _PRIOR]) / scales
    rows = np.vstack([terms / scales / roots[:, None], prior])
    found, _ = nnls(rows, np.append(roots, _PRIOR * USUAL[-1]))
    return Speed(tuple(float(x) for x in faster * found / scales))


def _terms(shape: Shape) -> np.ndarray:
    n, m = float(max(shape)), float(min(shape))
    return np.array([1.0, n * m, m**2, seconds(shape)])
