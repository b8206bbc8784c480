"""What a verdict rests on: the numbers that decide it, and a cause for each lost direction."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional


class Cause(str, Enum):
    """Why a direction is lost or weak; a string, so that files contain its value.

    `words` names the cause in a sentence. `is_harmless`: the directions do not matter to what the
    network computes, so they do not make a layer collapsed.
    """

    words: str
    is_harmless: bool

    DEAD_OUTPUTS = "dead_outputs", "dead units", False
    DEAD_INPUTS = "dead_inputs", "dead inputs", False
    SOFTMAX = "softmax", "the constant over classes: softmax does not see it", True
    LAYER_NORM_OUTPUT = (
        "layer_norm_output",
        "the constant over outputs: the normalization that follows does not see it",
        True,
    )
    LAYER_NORM_INPUT = (
        "layer_norm_input",
        "a direction that the outputs of the normalization before never have",
        True,
    )
    COPIED_OUTPUTS = "copied_outputs", "copies of units", False
    COPIED_INPUTS = "copied_inputs", "copies of inputs", False
    UNUSED_ROWS = "unused_rows", "padding or unused rows", True
    ZERO = "zero", "all weights are zero", False
    DECAYED = "decayed", "all weights have decayed away", False
    SMALL_BUT_NORMALIZED = (
        "small_but_normalized",
        "very small weights, whose scale the normalization that follows removes",
        True,
    )
    BULK_SUNK = "bulk_sunk", "most of the spectrum has sunk far below any usual start", False
    SPIKES_GREW = "spikes_grew", "a few directions have grown far above the others", True
    BELOW_PRECISION = "below_precision", "hidden by rounding to the stored precision", False
    UNEXPLAINED = "unexplained", "unexplained", False

    def __new__(cls, value: str, words: str, is_harmless: bool) -> "Cause":
        cause = str.__new__(cls, value)
        cause._value_ = value
        cause.words = words
        cause.is_harmless = is_harmless
        return cause

    # The defaults of `str` and `format` differ between Python 3.10, 3.11 and 3.12.
    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(str(self.value), spec)


@dataclass(frozen=True)
class Finding:
    """A group of directions of a layer with one cause.

    `count` is the number of directions, 0 if units are dead without a lost direction; `evidence` is
    the share, 0 to 1, of these directions that the cause explains, None if it is not read off
    singular vectors. `units` are the indices of the units that it is about, if any. `is_lost` is
    False for weak directions, which count for nothing but are worth a word.
    """

    cause: Cause
    count: int
    is_harmless: bool
    evidence: Optional[float] = None
    units: tuple[int, ...] = ()
    is_lost: bool = True
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """The numbers that decide the verdict on a layer.

    `lost_directions` counts the lost ones out of M, without harmless ones (`harmless_directions`).
    Singular values up to `limit` (in units of the weights) are lost; None if there is no limit.
    `null_ratio` is the smallest singular value over its median for independent entries of the same
    standard deviation. `hidden_directions` are those that rounding to the stored precision hides.
    `start_ratio` is the root mean square of the entries over the smallest usual initialization.
    With a base model, `base_lost` counts the directions that it had lost already (up to as many are
    harmless here), and `base_ratio` is the root mean square of the entries over that of the base.
    `reason` is the verdict in words. `noise_floor` is the singular value that the errors of
    quantization can reach in a lost direction, None if the weight is not quantized.
    """

    lost_directions: int
    harmless_directions: int = 0
    hidden_directions: int = 0
    limit: Optional[float] = None
    null_ratio: Optional[float] = None
    start_ratio: Optional[float] = None
    findings: tuple[Finding, ...] = field(default=())
    reason: str = ""
    base_lost: Optional[int] = None
    base_ratio: Optional[float] = None
    noise_floor: Optional[float] = None
