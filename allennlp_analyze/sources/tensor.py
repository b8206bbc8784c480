"""A tensor in a weights file, described on opening and read on demand; what the file says."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.sources.blocks import Decode, as_stored

# Layouts of a layer's weight other than torch's, outputs x inputs x kernel.
OUTPUTS_LAST = "kernel x inputs x outputs"  # of JAX and TensorFlow
INPUTS_LAST = "outputs x kernel x inputs"  # of MLX


@dataclass(frozen=True)
class StoredTensor:
    """One named tensor of a state dict.

    `dtype` is torch's name without the prefix ("float32", "bfloat16", "int64", ...).
    `load` returns the values as they are stored; `decode` turns any part of them into numbers.
    `storage` is equal for two tensors only if they are tied (same storage, offset, shape, stride).
    `unsupported` says why the values cannot be read (sparse, quantized, ...); None if they can.
    `unpacked` is the number of bytes of its values that the file does not hold as such: of a
    compressed record, or of elements that the view repeats. `kind` is the kind of layer that the
    file itself states (by an operator of its graph); None if names and shapes must tell.
    `is_weight` says that the values are a layer's weight already, although the name is that of a
    parameter from which a parametrization computes it. `layout` is OUTPUTS_LAST or INPUTS_LAST if
    the file says so; None: that of torch.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    storage: Hashable
    load: Optional[Callable[[], np.ndarray]] = field(repr=False, compare=False)
    unsupported: Optional[str] = None
    decode: Decode = field(default=as_stored, repr=False, compare=False)
    unpacked: int = field(default=0, repr=False, compare=False)
    kind: Optional[str] = None
    is_weight: bool = False
    layout: Optional[str] = None

    def stored(self) -> np.ndarray:
        """Returns the undecoded values, of `shape`, as a read-only view of the mapped file.

        Raises `TensorError` if the tensor has none.
        """
        if self.load is None:
            raise TensorError(f"{self.name}: {self.unsupported or 'has no values'}")
        return self.load()

    def values(self) -> np.ndarray:
        """Returns the values as an array of `shape` that the caller must not write to.

        bfloat16, which numpy lacks, is widened to float32 (exactly), the whole tensor at once.
        Raises `TensorError` if the tensor has none.
        """
        return self.decode(self.stored())


@dataclass(frozen=True)
class Weights:
    """The contents of one weights file: its tensors by name, and what it says about the model.

    `config` has the keys of a config.json ({} if the file says nothing); one beside the file comes
    first. `warnings` are for the user.
    """

    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
