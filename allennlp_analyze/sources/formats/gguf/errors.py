"""Estimates the errors that quantization to a type of GGUF made in the numbers of its blocks."""

from typing import Callable, Optional

import numpy as np

from allennlp_analyze.sources.formats.gguf.types import BlockType, dequantizer
from allennlp_analyze.sources.quantized.codes import error_variances
from allennlp_analyze.sources.quantized.tables import UNIFORM

# Returns the variance of the error of each number of whole blocks, in their order.
Variances = Callable[[np.ndarray], np.ndarray]

# Where a block has its codes and its smallest values, and bytes in their place with which each
# number of the block is the step between two codes.
_UNIT_CODES = {
    "Q4_0": ((2, 18, 0x99),),
    "Q4_1": ((2, 4, 0), (4, 20, 0x11)),
    "Q5_0": ((2, 6, 0xFF), (6, 22, 0x11)),
    "Q5_1": ((2, 8, 0), (8, 24, 0x11)),
    "Q8_0": ((2, 34, 1),),
    "Q8_K": ((4, 260, 1),),
    "Q2_K": ((16, 80, 0x55), (82, 84, 0)),
    "Q3_K": ((0, 32, 0xFF), (32, 96, 0x55)),
    "Q4_K": ((2, 4, 0), (16, 144, 0x11)),
    "Q5_K": ((2, 4, 0), (16, 48, 0), (48, 176, 0x11)),
    "Q6_K": ((0, 128, 0x11), (128, 192, 0xAA)),
    "IQ4_NL": ((2, 18, 0x88),),
    "IQ4_XS": ((8, 136, 0x88),),
    "MXFP4": ((1, 17, 0x11),),
    "NVFP4": ((4, 36, 0x11),),
}
_IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_E2M1 = (-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12)
# The numbers that codes stand for, in steps, where they are not evenly spaced.
_BOOKS = {"IQ4_NL": _IQ4, "IQ4_XS": _IQ4, "MXFP4": _E2M1, "NVFP4": _E2M1}
# These store several numbers as one point of a lattice. Mean square errors of normal numbers that
# were rounded to the nearest point, at the best scale, by the mean square of the numbers.
_LATTICES = {
    "IQ1_S": 0.196,
    "IQ1_M": 0.177,
    "IQ2_XXS": 0.094,
    "IQ2_XS": 0.068,
    "IQ2_S": 0.057,
    "IQ3_XXS": 0.025,
    "IQ3_S": 0.017,
}
_LATTICE_GROUP = 32


def variances_of(kind: BlockType) -> Optional[Variances]:
    """Returns what estimates the errors of numbers of this type.

    Returns None for the ternary types (TQ1_0, TQ2_0): their weights were trained as such.
    """
    to_numbers = dequantizer(kind)
    if kind.name in _LATTICES:
        share = np.float32(_LATTICES[kind.name])

        def by_lattice(stored: np.ndarray) -> np.ndarray:
            squares = np.square(to_numbers(stored).reshape(-1, _LATTICE_GROUP))
            means = share / (1 - share) * squares.mean(axis=1)
            return np.repeat(means, _LATTICE_GROUP)

        return by_lattice
    if kind.name not in _UNIT_CODES:
        return None
    book = _BOOKS.get(kind.name)

    def by_steps(stored: np.ndarray) -> np.ndarray:
        blocks = stored.reshape(-1, kind.nbytes).copy()
        for start, stop, byte in _UNIT_CODES[kind.name]:
            blocks[:, start:stop] = byte
        steps = to_numbers(blocks.ravel())
        each = UNIFORM if book is None else _of_book(book, to_numbers(stored), steps)
        return np.square(steps) * each

    return by_steps


def _of_book(book: tuple[int, ...], numbers: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Variances of the errors of `numbers`, in units of their `steps`."""
    known = np.array(book, np.float32)
    with np.errstate(all="ignore"):
        codes = np.nan_to_num(np.round(numbers / steps))
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return error_variances(known)[places]
