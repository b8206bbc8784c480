"""The element types of GGUF: their sizes, and how blocks of each become numbers."""

import importlib.util
from dataclasses import dataclass
from functools import cache, partial
from typing import Callable, Optional

import numpy as np

# Turns a one-dimensional uint8 array of whole blocks into float32 numbers, in their order.
Dequantize = Callable[[np.ndarray], np.ndarray]

NEEDS_GGUF = "needs the package gguf (pip install 'allennlp_analyze[gguf]')"


@dataclass(frozen=True)
class BlockType:
    """A type that stores `size` numbers in `nbytes` bytes.

    `dtype` is torch's name of a type that is stored number by number; None for a quantized one.
    """

    name: str
    size: int
    nbytes: int
    dtype: Optional[str] = None


_PLAIN = (
    (0, "F32", 4, "float32"),
    (1, "F16", 2, "float16"),
    (24, "I8", 1, "int8"),
    (25, "I16", 2, "int16"),
    (26, "I32", 4, "int32"),
    (27, "I64", 8, "int64"),
    (28, "F64", 8, "float64"),
    (30, "BF16", 2, "bfloat16"),
)
# Without Q8_1, which no file has (ggml only computes with it): its size differs between versions.
_QUANTIZED = (
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (29, "IQ1_M", 256, 56),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
)
TYPES = {
    **{number: BlockType(name, 1, nbytes, dtype) for number, name, nbytes, dtype in _PLAIN},
    **{number: BlockType(name, size, nbytes) for number, name, size, nbytes in _QUANTIZED},
}
# A scale, then (behind what is of no use here) one signed byte for each number.
_BYTES = {"Q8_0": ("<f2", 2), "Q8_K": ("<f4", 4)}


@cache
def why_not(kind: BlockType) -> Optional[str]:
    """Returns why numbers of this quantized type cannot be read, or None if they can."""
    if kind.name in _BYTES:
        return None
    if importlib.util.find_spec("gguf") is None:
        return f"GGUF's type {kind.name} {NEEDS_GGUF}"
    if _number_in_package(kind) is None:
        return f"GGUF's type {kind.name} is not known to the installed package gguf: update it"
    return None


def dequantizer(kind: BlockType) -> Dequantize:
    """Returns the function that turns blocks of a quantized type into numbers."""
    if kind.name in _BYTES:
        return partial(_scaled_bytes, kind)
    return partial(_by_package, kind)


def _scaled_bytes(kind: BlockType, stored: np.ndarray) -> np.ndarray:
    code, skipped = _BYTES[kind.name]
    blocks = stored.reshape(-1, kind.nbytes)
    scale = np.dtype(code)
    scales = np.ascontiguousarray(blocks[:, : scale.itemsize]).view(scale).astype(np.float32)
    numbers = blocks[:, skipped : skipped + kind.size].view(np.int8).astype(np.float32)
    numbers *= scales
    return numbers.ravel()


def _by_package(kind: BlockType, stored: np.ndarray) -> np.ndarray:
    from gguf import quants  # type: ignore[import-not-found,unused-ignore]

    with np.errstate(all="ignore"):  # of a scale that is not finite: found by who reads the numbers
        # One long row: the package works on 16 rows at a time.
        return quants.dequantize(stored.reshape(1, -1), _number_in_package(kind)).ravel()


def _number_in_package(kind: BlockType) -> Optional[object]:
    """The package's own number of the type if it can dequantize it into blocks of this size."""
    from gguf import constants, quants

    number = getattr(constants.GGMLQuantizationType, kind.name, None)
    is_same = constants.GGML_QUANT_SIZES.get(number) == (kind.size, kind.nbytes)
    return number if is_same and number in quants._type_traits else None
