"""The cost of a matrix on a machine: seconds as a sum of terms whose factors are measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allennlp_analyze.linalg.machine import Machine, seconds
from allennlp_analyze.linalg.schedule import largest_first

Shape = tuple[int, int]
# For each matrix, each entry, and each second of `linalg.machine.seconds`.
USUAL = (2e-3, 1e-9, 1.0)


@dataclass(frozen=True)
class Speed:
    """Seconds of one core for a matrix: a + b N M + c times the estimate of `linalg.machine`.

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
    """Returns the speed with the smallest relative errors for the `measured` seconds."""
    from scipy.optimize import nnls

    terms = np.array([_terms(shape) for shape in shapes])
    scales = terms.max(axis=0)
    found, _ = nnls(terms / scales / np.array(measured)[:, None], np.ones(len(shapes)))
    return Speed(tuple(float(x) for x in found / scales))


def _terms(shape: Shape) -> np.ndarray:
    n, m = float(max(shape)), float(min(shape))
    return np.array([1.0, n * m, seconds(shape)])
