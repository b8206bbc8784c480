"""Dequantizes a tensor of a GGUF file a piece at a time, into memory or a file without a name."""

import math
from collections.abc import Iterator
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.formats.gguf.errors import variances_of
from allennlp_analyze.sources.formats.gguf.types import BlockType, dequantizer
from allennlp_analyze.sources.quantized.matrix import Noise
from allennlp_analyze.sources.views import Block
from allennlp_analyze.storage.mapped import gathered

# Numbers of a piece: what dequantizes it needs some ten times as much memory.
_PIECE = 1 << 18


class QuantizedTensor:
    """Reads the numbers of one quantized tensor, and the noise of its quantization."""

    __slots__ = ("_block", "_kind", "_name", "_shape")

    def __init__(self, name: str, shape: tuple[int, ...], kind: BlockType, block: Block) -> None:
        self._name = name
        self._shape = shape
        self._kind = kind
        self._block = block

    def values(self) -> np.ndarray:
        """Returns the numbers as float32. Raises `TensorError` if there is no room for them."""
        if 0 in self._shape:
            return np.empty(self._shape, np.float32)
        try:
            whole = gathered(self._pieces(dequantizer(self._kind)), self._shape)
        except TensorError as error:
            raise TensorError(f"{self._name}: {error}") from None
        whole.flags.writeable = False
        return whole

    def noise(self) -> Noise:
        """Returns the mean variances of the errors of rows and of columns."""
        variances = variances_of(self._kind)
        columns = self._shape[-1]
        rows = math.prod(self._shape) // columns
        by_rows, by_columns = np.zeros(rows), np.zeros(columns)
        start = 0
        for piece in self._pieces(variances) if variances else ():
            place = np.arange(start, start + len(piece))
            row = place // columns
            counted = np.bincount(row - row[0], piece)
            by_rows[row[0] : row[0] + len(counted)] += counted / columns
            by_columns += np.bincount(place % columns, piece, columns) / rows
            start += len(piece)
        return Noise(by_rows, by_columns)

    @property
    def noise_or_none(self) -> Optional[Callable[[], Noise]]:
        """Returns `noise`, or None for a type that makes no errors."""
        return None if variances_of(self._kind) is None else self.noise

    def _pieces(self, convert: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        """Yields what `convert` makes of a number of blocks at a time."""
        stored = self._block.read()
        step = max(1, _PIECE // self._kind.size) * self._kind.nbytes
        for start in range(0, len(stored), step):
            yield convert(stored[start : start + step])
