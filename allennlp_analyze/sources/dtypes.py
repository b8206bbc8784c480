"""torch's element types by name, their sizes, and how numpy reads them."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from allennlp_analyze.sources.small_floats import FLOAT8, table

_NUMPY = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "i1",
    "uint64": "<u8",
    "uint32": "<u4",
    "uint16": "<u2",
    "uint8": "u1",
    "bool": "?",
    "complex64": "<c8",
    "complex128": "<c16",
}
_BITS = {f"{sign}int{bits}": 1 for sign in ("", "u") for bits in range(1, 8)}
_WITHOUT_NUMPY = {
    "complex32": 4,
    "qint32": 4,
    "qint8": 1,
    "quint8": 1,
    "quint4x2": 1,
    "quint2x4": 1,
    "float4_e2m1fn_x2": 1,
    "bits16": 2,
    "bits8": 1,
    "bits4x2": 1,
    "bits2x4": 1,
    "bits1x8": 1,
    **_BITS,
}
ITEM_SIZE = {
    **{name: np.dtype(code).itemsize for name, code in _NUMPY.items()},
    "bfloat16": 2,
    **dict.fromkeys(FLOAT8, 1),
    **_WITHOUT_NUMPY,
}


def stored_dtype(name: str) -> np.dtype:
    """Returns the numpy type of the stored bytes: unsigned integers if numpy lacks the type."""
    if name in _NUMPY:
        return np.dtype(_NUMPY[name])
    return np.dtype(f"<u{ITEM_SIZE[name]}")


def why_unsupported(name: str) -> Optional[str]:
    """Returns why values of torch type `name` cannot be read, or None if they can."""
    if name in _WITHOUT_NUMPY:
        return f"{name} has no equivalent in numpy"
    return None


@dataclass(frozen=True)
class AsType:
    """Decodes arrays of `stored_dtype(name)`, and says to others what the stored bytes are."""

    name: str

    def __call__(self, stored: np.ndarray) -> np.ndarray:
        return decode(stored, self.name)


def decode(stored: np.ndarray, name: str) -> np.ndarray:
    """Decode an array of `stored_dtype(name)`; bfloat16 and float8 become float32, exactly."""
    if name == "bfloat16":
        # Keep an array even with zero dimensions: numpy 1.x would widen the type of a scalar.
        upper: np.ndarray = np.empty(stored.shape, np.uint32)
        np.left_shift(stored, np.uint32(16), out=upper, dtype=np.uint32)
        return upper.view(np.float32)
    return np.asarray(table(name)[stored]) if name in FLOAT8 else stored
