"""A weight matrix to analyze, whose values are still in the file, and what surrounds it."""

from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.sources.blocks import Decode, as_stored
from allennlp_analyze.sources.tensor import StoredTensor


@dataclass(frozen=True)
class Surroundings:
    """What is known of the network around a matrix.

    `outputs_first`: its rows are the outputs. `columns_per_input`: columns of each input, the size
    of a convolution's kernel. `is_last`: no other matrix takes its outputs. `is_normalized`: a
    normalization beside it takes its outputs. `in_layer_norm`: a LayerNorm of as many values is in
    its block. `gains` are those of the LayerNorms of as many values as it has inputs. `squares` is
    the number of nearly square matrices in the network, this one or not.
    """

    outputs_first: bool = True
    columns_per_input: int = 1
    is_last: bool = False
    is_normalized: bool = False
    in_layer_norm: bool = False
    gains: tuple[StoredTensor, ...] = ()
    squares: int = 1


@dataclass(frozen=True)
class WeightMatrix:
    """One two-dimensional matrix to analyze, whose values are still in the file.

    `name` is unique: the parameter's name without ".weight", followed by "[part]" if the tensor
    contains several matrices. `shape` is (rows, columns) as analyzed. `tied` lists the other
    parameters that share the matrix. `notes` are for the report's warnings on it. `noise` reads the
    root mean square error that quantization made in its entries; None if it is not quantized.
    """

    name: str
    parameter: str
    part: Optional[str]
    kind: str
    kind_source: str
    shape: tuple[int, int]
    dtype: str
    load: Callable[[], np.ndarray] = field(repr=False, compare=False)
    module_index: Optional[int] = None
    module_class: Optional[str] = None
    tied: tuple[str, ...] = ()
    decode: Decode = field(default=as_stored, repr=False, compare=False)
    notes: tuple[str, ...] = ()
    surroundings: Surroundings = field(default=Surroundings(), repr=False, compare=False)
    noise: Optional[Callable[[], float]] = field(default=None, repr=False, compare=False)

    def stored(self) -> np.ndarray:
        """Returns a read-only array (rows, columns) for `decode`. Raises `TensorError`."""
        return self.load()

    def values(self) -> np.ndarray:
        """Returns a read-only array of numbers (rows, columns). Raises `TensorError`."""
        return self.decode(self.load())
