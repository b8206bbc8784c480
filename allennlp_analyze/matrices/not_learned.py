"""Says which tensors are no learned maps, although they have the shape of a matrix."""

from collections.abc import Mapping
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.kinds import split_name, words_of
from allennlp_analyze.sources.tensor import StoredTensor

_BUFFERS = frozenset("running_mean running_var num_batches_tracked inv_freq pe".split())
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
_WEIGHTS = ("weight", "qweight", "weight_packed", "weight_quantized")
_POSITIONS = frozenset("position positions positional pos pe sinusoid sinusoidal timestep".split())
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
    if _is_scale_beside(tensor, places):
        return "scales of quantization: not a matrix"
    if len(tensor.shape) == 2 and _is_table_of_positions(tensor):
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
    """Whether all rows are sines and cosines of the same angles, in halves or in turn."""
    words = {word for part in tensor.name.split(".")[-3:] for word in words_of(part)}
    if not words & _POSITIONS or tensor.shape[1] % 2 or tensor.unsupported is not None:
        return False
    try:
        values = np.asarray(tensor.values(), np.float64)
    except TensorError:
        return False
    half = values.shape[1] // 2
    pairs = ((values[:, :half], values[:, half:]), (values[:, ::2], values[:, 1::2]))
    return any(
        bool(np.all(np.abs(first**2 + second**2 - 1) <= _SINE_ERROR)) for first, second in pairs
    )


def buffer_by_name(name: str) -> Optional[str]:
    """Returns the reason for skipping a tensor with the name of a buffer or mask."""
    module, _, leaf = name.rpartition(".")
    words = words_of(leaf)
    if "mask" in words[-1:] or "masks" in words[-1:]:
        return "mask"
    if module.rpartition(".")[2] in _BUFFER_MODULES:
        return "buffer: not trained"
    if leaf in _BUFFERS or _BUFFER_ENDINGS & set(words[-1:]):
        return "buffer: not trained"
    if words[:1] in (["position"], ["positional"]) and words[-1] in ("encoding", "encodings"):
        return "buffer: fixed position encoding"
    return None
