"""Says which tensors are no learned maps, although they have the shape of a matrix."""

import math
from collections.abc import Mapping
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.kinds import is_norm
from allennlp_analyze.matrices.names import split_name
from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.words import words_of

_BUFFERS = frozenset("running_mean running_var num_batches_tracked inv_freq".split())
_POSITION_BUFFERS = frozenset(("pe",))
_BUFFER_ENDINGS = frozenset(
    "buffer buffers mask masks ids integer cached cache sinusoid sinusoids".split()
)
_STATE_SPACE = frozenset(
    "A_log A_logs A_b_log log_A_real A_imag log_dt dt_bias Ds ssm_a ssm_d".split()
)
# Modules of llama.cpp that are no layers.
_BUFFER_MODULES = frozenset("rope_freqs rope_factors_long rope_factors_short attn_rot_embd".split())
_SCALES = frozenset(
    "scales qzeros zeros g_idx absmax nested_absmax quant_map nested_quant_map weight_scale"
    " weight_scale_inv weight_scale_2 input_scale activation_scale weight_zero_point scale_inv"
    " qscales".split()
)
# The buffers of a codebook that is averaged, not trained.
_AVERAGED_CODES, _CODE_COUNTS = frozenset(("embed", "embed_avg")), "cluster_size"
_WEIGHTS = ("weight", "qweight", "weight_packed", "weight_quantized")
_POSITIONS = frozenset("position positions positional pos pe sinusoid sinusoidal timestep".split())
_MOSTLY = 0.9
_SINE_ERROR = 1e-2  # of a float16 table


def why_not_learned(
    tensor: StoredTensor, places: Mapping[tuple[str, str], StoredTensor]
) -> Optional[str]:
    """Returns the reason for skipping `tensor`, or None if it may be a learned map.

    `places` are all tensors by module and leaf.
    """
    module, leaf = split_name(tensor.name)
    if leaf in _STATE_SPACE:
        return "state-space parameter: not a matrix that multiplies activations"
    if leaf in _SCALES and any((module, other) in places for other in _WEIGHTS):
        return "scales of quantization: not a matrix"
    if leaf in _AVERAGED_CODES and (module, _CODE_COUNTS) in places:
        return "codebook of moving averages: a buffer"
    if _is_scale_beside(tensor, places):
        return "scales of quantization: not a matrix"
    if len(tensor.shape) > 1 and _is_table_of_positions(tensor):
        return "fixed sinusoids: not learned"
    return None


def _is_scale_beside(tensor: StoredTensor, places: Mapping[tuple[str, str], StoredTensor]) -> bool:
    """Whether it is called like another parameter with "_scale" or "_scale_inv" behind."""
    module, leaf = split_name(tensor.name)
    for ending in ("_scale_inv", "_scale", "_scales"):
        if leaf.endswith(ending) and (module, leaf[: -len(ending)]) in places:
            return True
    return False


def _is_table_of_positions(tensor: StoredTensor) -> bool:
    """Whether it is named like positions, and holds sines and cosines of the same angles."""
    words = {word for part in tensor.name.split(".")[-3:] for word in words_of(part)}
    return bool(words & _POSITIONS) and _are_sinusoids(tensor)


def _are_sinusoids(tensor: StoredTensor) -> bool:
    """Whether all rows are sines and cosines of the same angles, in halves or in turn.

    Images have those of the line beside those of the column. Rows of zeros are for padding, and a
    class token; one scale for all values is allowed.
    """
    shape = tensor.shape
    if len(shape) < 2 or shape[-1] % 2 or max(shape[:-1]) != math.prod(shape[:-1]):
        return False
    values = _values(tensor)
    if values is None or not np.isfinite(values).all():
        return False
    rows = values.reshape(-1, shape[-1])
    rows = rows[np.any(rows != 0, axis=1)]
    width = shape[-1]
    groups = [rows] if width % 4 else [rows, rows.reshape(-1, width // 2)]
    return len(rows) > 0 and any(_are_on_a_circle(group) for group in groups)


def _are_on_a_circle(rows: np.ndarray) -> bool:
    half = rows.shape[1] // 2
    pairs = ((rows[:, :half], rows[:, half:]), (rows[:, ::2], rows[:, 1::2]))
    for first, second in pairs:
        squares = first**2 + second**2
        radius = float(squares.mean())
        turns = float(np.ptp(first**2)) > radius / 2  # a constant table does not
        if turns and bool(np.all(np.abs(squares / radius - 1) <= _SINE_ERROR)):
            return True
    return False


def _values(tensor: StoredTensor) -> Optional[np.ndarray]:
    if tensor.unsupported is not None:
        return None
    try:
        return np.asarray(tensor.values(), np.float64)
    except TensorError:
        return None


def _is_mask(tensor: StoredTensor) -> bool:
    """Whether it has at most two different values, or one on each diagonal."""
    try:
        values = tensor.values()
    except TensorError:
        return True
    if _most_different(values, 2):
        return True
    return values.ndim > 1 and bool(np.all(values[..., 1:, 1:] == values[..., :-1, :-1]))


def _most_different(values: np.ndarray, most: int) -> bool:
    """Whether an array has at most `most` different values."""
    known: list[object] = []
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK_ELEMENTS):
        rest = flat[start : start + BLOCK_ELEMENTS]
        for value in known:
            rest = rest[rest != value]
        while rest.size:
            known.append(rest[0])
            if len(known) > most:
                return False
            rest = rest[rest != rest[0]]
    return True


def is_gain(tensor: StoredTensor) -> bool:
    """Whether a weight with as many biases is the gain of a normalization: by name, or its values.

    Gains start at one and seldom change their sign, so most are positive.
    """
    if is_norm(split_name(tensor.name)[0]):
        return True
    values = _values(tensor)
    return values is None or bool(np.mean(values > 0) >= _MOSTLY)


def buffer_by_name(tensor: StoredTensor) -> Optional[str]:
    """Returns the reason for skipping a tensor with the name of a buffer or mask.

    Where its values can tell a learned table from a fixed one, they do.
    """
    module, _, leaf = tensor.name.rpartition(".")
    words = words_of(leaf)
    is_table = len(tensor.shape) > 1 and 0 not in tensor.shape
    if "mask" in words[-1:] or "masks" in words[-1:]:
        return "mask" if not is_table or _is_mask(tensor) else None
    if module.rpartition(".")[2] in _BUFFER_MODULES:
        return "buffer: not trained"
    if leaf in _POSITION_BUFFERS or (
        words[:1] in (["position"], ["positional"]) and words[-1] in ("encoding", "encodings")
    ):
        fixed = is_table and _are_sinusoids(tensor)
        return "buffer: fixed position encoding" if fixed or not is_table else None
    if leaf in _BUFFERS:
        return "buffer: not trained"
    if _BUFFER_ENDINGS & set(words[-1:]):
        return f"named like a buffer (`{words[-1]}`), which is not trained"
    return None
