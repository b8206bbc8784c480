"""A tensor in a weights file, described on opening and read on demand; what the file says."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Callable, Optional, Protocol

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.results.files import FileState
from allennlp_analyze.sources.blocks import Decode, as_stored
from allennlp_analyze.sources.remote_block import RemoteBlock

# Takes a matrix from the values of a tensor.
Take = Callable[[np.ndarray], np.ndarray]


class ErrorModel(Protocol):
    """What is known of the errors that quantization made."""

    def of(self, take: Take, shape: tuple[int, ...]) -> float:
        """Returns the root mean square error of the entries that `take` takes from the tensor.

        Raises `TensorError`.
        """
        ...


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
    file itself states (by an operator of its graph), whose outputs are then its rows, a convolution
    being out x in/groups x kernel; None if names and shapes must tell.
    `noise` reads the errors of a dequantized weight. `joined` is the reason for skipping a tensor
    that belongs to a quantized weight (its scales). `is_buffer` says whether its module
    registers it as a buffer or as a parameter; None if that is not known.
    `is_weight` says that the values are a layer's weight already, although the name is that of a
    parameter from which a parametrization computes it. `layout` is OUTPUTS_LAST or INPUTS_LAST if
    the file says so; None: that of torch. `remote` are the bytes that a reading fetches from a
    server.
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
    noise: Optional[Callable[[], ErrorModel]] = field(default=None, repr=False, compare=False)
    joined: Optional[str] = None
    is_buffer: Optional[bool] = None
    is_weight: bool = False
    layout: Optional[str] = None
    remote: tuple[RemoteBlock, ...] = field(default=(), repr=False, compare=False)

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

    def rms_error(self, take: Take) -> float:
        """Returns the root mean square error that quantization made in what `take` takes.

        Raises `TensorError`.
        """
        return 0.0 if self.noise is None else self.noise().of(take, self.shape)


@dataclass(frozen=True)
class LeftOut:
    """What a file holds beside the weights of its model, and the reason why it is none of them.

    The state of an optimizer is an example. `shape` is () for what is no tensor.
    """

    name: str
    shape: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Weights:
    """The contents of one weights file: its tensors by name, and what it says about the model.

    `left_out` is what else the file holds. `config` has the keys of a config.json ({} if the file
    says nothing); one beside the file comes first. `warnings` are for the user. `files` are the
    states of other files with values, before they were read.
    """

    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    files: tuple[FileState, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
