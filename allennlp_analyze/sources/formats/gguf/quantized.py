"""Dequantizes a tensor of a GGUF file a piece at a time, into memory or a file without a name."""

import math
from collections.abc import Iterator
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.formats.gguf.types import BlockType, dequantizer
from allennlp_analyze.sources.views import Block
from allennlp_analyze.storage.mapped import mapped_copy

# Numbers of a piece: what dequantizes it needs some ten times as much memory.
_PIECE = 1 << 18
# Numbers up to this size are returned in memory, more of them in a file.
_IN_MEMORY_BYTES = 1 << 25


class Dequantized:
    """Reads the numbers of one quantized tensor, as float32, when it is called."""

    __slots__ = ("_block", "_kind", "_name", "_shape")

    def __init__(self, name: str, shape: tuple[int, ...], kind: BlockType, block: Block) -> None:
        self._name = name
        self._shape = shape
        self._kind = kind
        self._block = block

    def __call__(self) -> np.ndarray:
        """Raises `TensorError` if there is no room for the numbers."""
        size = math.prod(self._shape)
        if size * 4 <= _IN_MEMORY_BYTES:
            whole = np.empty(size, np.float32)
            at = 0
            for piece in self._pieces():
                whole[at : at + len(piece)] = piece
                at += len(piece)
            whole.flags.writeable = False
            return whole.reshape(self._shape)
        try:
            written = mapped_copy(piece.data for piece in self._pieces())
        except OSError as error:
            reason: Optional[str] = error.strerror
            raise TensorError(
                f"{self._name}: cannot be dequantized ({reason or error}: its numbers take"
                f" {size * 4} bytes)"
            ) from None
        return written.view(np.float32).reshape(self._shape)

    def _pieces(self) -> Iterator[np.ndarray]:
        stored = self._block.read()
        step = max(1, _PIECE // self._kind.size) * self._kind.nbytes
        to_numbers = dequantizer(self._kind)
        for start in range(0, len(stored), step):
            yield np.ascontiguousarray(to_numbers(stored[start : start + step]))
