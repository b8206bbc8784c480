"""The noise of a quantized weight: means of the variance of its rounding, by rows and columns."""

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Callable

import numpy as np

from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS
from allennlp_analyze.sources.formats.onnx.layout import Permuted, Steps, Swapped
from allennlp_analyze.sources.tensor import ErrorModel, StoredTensor, Take


@dataclass(frozen=True)
class Noise:
    """The product of both means over the mean of all is near the variance of each entry."""

    by_rows: np.ndarray = field(repr=False)
    by_columns: np.ndarray = field(repr=False)

    def of(self, take: Take, shape: tuple[int, ...]) -> float:
        """Returns the root mean square error of the entries that `take` takes from the tensor."""
        mean = float(self.by_rows.mean()) if self.by_rows.size else 0.0
        if not 0 < mean < math.inf:
            return 0.0
        if len(shape) != 2 or shape != (len(self.by_rows), len(self.by_columns)):
            return math.sqrt(mean)
        rows = take(np.broadcast_to(self.by_rows[:, None], shape))
        columns = take(np.broadcast_to(self.by_columns, shape))
        found = float(rows.mean(dtype=np.float64)) * float(columns.mean(dtype=np.float64))
        return math.sqrt(found / mean)


def noise_of(shape: tuple[int, ...], variances: Callable[[slice], np.ndarray]) -> Noise:
    """Returns the noise of a weight of `shape`, from the variances of slices of its first axis."""
    rows, columns = shape[0] if shape else 1, math.prod(shape[1:])
    by_rows, by_columns = np.zeros(rows), np.zeros(columns)
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    for start in range(0, rows if columns else 0, step):
        part = slice(start, min(start + step, rows))
        block = variances(part).reshape(part.stop - part.start, columns)
        by_rows[part] = block.mean(axis=1)
        by_columns += block.sum(axis=0) / rows
    return Noise(by_rows, by_columns)


def arranged_noise(tensor: StoredTensor, steps: Steps) -> StoredTensor:
    """Returns `tensor`, already arranged by `steps`, with its noise in the same layout."""
    if tensor.noise is None or not steps:
        return tensor
    return replace(tensor, noise=partial(_arranged, tensor.noise, steps))


def _arranged(read: Callable[[], ErrorModel], steps: Steps) -> ErrorModel:
    noise = read()
    if not isinstance(noise, Noise):
        return noise
    for step in steps:
        if not isinstance(step, (Permuted, Swapped)):
            return replace(noise, by_columns=np.zeros(0))  # only the mean of all is known
        noise = Noise(noise.by_columns, noise.by_rows)
    return noise
