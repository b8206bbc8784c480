"""A tensor as it lies in a weights file: described at once, its values read when asked for."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.blocks import Decode, as_stored


@dataclass(frozen=True)
class StoredTensor:
    """One named tensor of a state dict.

    `dtype` is torch's name without the prefix ("float32", "bfloat16", "int64", ...).
    `load` gives the values as they are stored and `decode` makes numbers of any part of those.
    `storage` is equal for two tensors exactly when they show the same elements of the same memory
    (same storage, offset, shape and stride): tied tensors. `unsupported` says why values cannot be
    had (sparse, quantised, ...), None when they can.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    storage: Hashable
    load: Optional[Callable[[], np.ndarray]] = field(repr=False, compare=False)
    unsupported: Optional[str] = None
    decode: Decode = field(default=as_stored, repr=False, compare=False)

    def stored(self) -> np.ndarray:
        """The values before `decode`, of `shape`, as a view of the mapped file: not to be written
        to. Raises `TensorError` when there are none."""
        if self.load is None:
            raise TensorError(f"{self.name}: {self.unsupported or 'has no values'}")
        return self.load()

    def values(self) -> np.ndarray:
        """The values, as an array of `shape` that the caller must not write to.

        bfloat16, which numpy does not have, is widened to float32 (exact), all of it at once.
        Raises `TensorError` when there are none.
        """
        return self.decode(self.stored())
