"""The numbers of floating-point types of 8 and 4 bits, which numpy lacks, as tables of codes."""

from functools import cache

import numpy as np

# Bits of the exponent and of the mantissa, the exponent's bias, and how special values are coded:
# as in IEEE 754, "fn" (no infinity, NaN if all bits are set) or "fnuz" (NaN in place of -0).
_FORMATS = {
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
    "float4_e2m1": (2, 1, 1, "finite"),
}
EXPONENTS = "float8_e8m0fnu"  # powers of two, used as scales of other tensors
FLOAT8 = (*(name for name in _FORMATS if name.startswith("float8")), EXPONENTS)


@cache
def table(name: str) -> np.ndarray:
    """Returns the value of each code of type `name` as float32, read-only."""
    values = _powers() if name == EXPONENTS else _values(*_FORMATS[name])
    values.flags.writeable = False
    return values


def _powers() -> np.ndarray:
    with np.errstate(over="ignore"):
        values = np.ldexp(1.0, np.arange(256) - 127).astype(np.float32)
    values[255] = np.nan
    return values


def _values(exponent_bits: int, mantissa_bits: int, bias: int, special: str) -> np.ndarray:
    codes = np.arange(1 << (1 + exponent_bits + mantissa_bits))
    sign = np.where(codes >> (exponent_bits + mantissa_bits), -1.0, 1.0)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = codes & ((1 << mantissa_bits) - 1)
    # An exponent of 0 has no implied leading one.
    fraction = (exponent > 0) + mantissa / (1 << mantissa_bits)
    values = sign * np.ldexp(fraction, np.maximum(exponent, 1) - bias)
    half = len(codes) // 2
    if special == "fnuz":
        values[half] = np.nan
    elif special == "fn":
        values[[half - 1, -1]] = (np.nan, -np.nan)
    elif special == "ieee":
        highest = exponent == (1 << exponent_bits) - 1
        values[highest] = np.where(mantissa[highest] == 0, sign[highest] * np.inf, np.nan)
    return values.astype(np.float32)
