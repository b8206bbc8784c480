"""Wraps torch or numpy tensors in memory as a `Source` without copying them."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError, TensorError, UsageError
from allennlp_analyze.sources.blocks import as_stored
from allennlp_analyze.sources.dtypes import ITEM_SIZE, decode, stored_dtype, why_unsupported
from allennlp_analyze.sources.formats.state_dict import find_state_dict
from allennlp_analyze.sources.pickles.description import Inert, TensorRef
from allennlp_analyze.sources.quantized.joining import dequantized
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.lines import excerpt

MEMORY = "(in memory)"
STATE_DICT = "state dict"
# Modules that only wrap another, and the attribute of the inner one. Checkpoints omit the prefix.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
_WANTED = "expected a mapping of names to torch or numpy tensors"
# How deep nested mappings are searched: `find_state_dict` unwraps no more.
_MAX_NESTED = 5


@dataclass(frozen=True)
class _Held(TensorRef):
    """A reference to a tensor that is already in memory."""

    tensor: Any = field(default=None, repr=False, compare=False)


def is_module(model: object) -> bool:
    """Whether `model` is a torch.nn.Module; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def is_scripted(module: Any) -> bool:
    """Whether torch.jit has compiled a torch.nn.Module."""
    return isinstance(module, sys.modules["torch"].jit.ScriptModule)


def is_tensor(value: object) -> bool:
    """Whether `value` is a torch tensor or a numpy array."""
    torch = sys.modules.get("torch")
    return isinstance(value, np.ndarray) or (torch is not None and isinstance(value, torch.Tensor))


def mapping_source(mapping: Mapping[Any, Any]) -> Source:
    """Returns the tensors of a mapping by name; a wrapped state dict is unwrapped as in a file.

    Raises `UsageError` if the mapping contains no named tensors.
    """
    try:
        found = find_state_dict(_described(mapping, _MAX_NESTED))
    except CheckpointError as error:
        raise UsageError(f"the mapping {error}; {_WANTED}") from None
    if not found:
        raise UsageError(f"the mapping is empty; {_WANTED}")
    return dequantized(_source(STATE_DICT, {name: _tensor_of(ref) for name, ref in found.items()}))


def module_source(model: Any) -> tuple[Source, Any]:
    """Returns the state dict of a torch.nn.Module, and the module without its wrappers.

    A module of transformers has its configuration with it, as a directory has its config.json.

    Raises `UsageError` if the module has no parameters.
    """
    while type(model).__name__ in _WRAPPERS:
        model = getattr(model, _WRAPPERS[type(model).__name__])
    name = type(model).__name__
    tensors = {k: v for key, value in model.state_dict().items() for k, v in _flat(key, value)}
    if not tensors:
        raise UsageError(f"the module {excerpt(name)} has no parameters")
    return dequantized(replace(_source(name, tensors), config=_configuration(model))), model


def _configuration(model: Any) -> Mapping[str, object]:
    """Returns what transformers would write as the module's config.json, {} for other modules."""
    describe = getattr(getattr(model, "config", None), "to_dict", None)
    try:
        config = describe() if callable(describe) else {}
    except Exception:  # someone else's code; without it, names and shapes decide
        return {}
    return config if isinstance(config, Mapping) else {}


def _source(name: str, tensors: Mapping[str, Any]) -> Source:
    return Source(
        archive=name,
        resolved=MEMORY,
        sha256=None,
        weights_file="",
        tensors={name: _stored(name, tensor) for name, tensor in tensors.items()},
    )


def _described(value: Any, depth: int) -> object:
    """Describe `value` in the form that the readers of weights files return."""
    if isinstance(value, Mapping) and depth:
        return {key: _described(value[key], depth - 1) for key in value}
    if is_tensor(value):
        return _Held(str(value.dtype), _shape(value) or (), tensor=value)
    return Inert(type(value).__name__)


def _tensor_of(ref: TensorRef) -> Any:
    assert isinstance(ref, _Held)  # `_described` creates no others
    return ref.tensor


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields the tensors of one entry; quantized layers keep theirs in tuples."""
    if is_tensor(value):
        yield key, value
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _flat(f"{key}.{index}", item)


def _stored(name: str, tensor: Any) -> StoredTensor:
    if isinstance(tensor, np.ndarray):
        return _numpy_array(name, tensor)
    return _torch_tensor(name, tensor)


def _shape(tensor: Any) -> Optional[tuple[int, ...]]:
    """Returns the shape, or None for a parameter of a lazy module that has not seen input yet."""
    try:
        return tuple(int(size) for size in tensor.shape)
    except RuntimeError:
        return None


def _numpy_array(name: str, array: np.ndarray) -> StoredTensor:
    dtype = array.dtype.name
    reason = None if dtype in ITEM_SIZE else f"{dtype} is not a torch type"
    if isinstance(array, np.ma.MaskedArray):
        reason = "a masked array: fill the masked values"
    if reason is not None:
        return StoredTensor(name, array.shape, dtype, name, None, unsupported=reason)
    plain = np.asarray(array)
    where = plain.__array_interface__["data"][0]
    # Types that numpy lacks come from ml_dtypes.
    known = array.dtype.kind in "fiubc"
    return StoredTensor(
        name=name,
        shape=array.shape,
        dtype=dtype,
        storage=_identity(name, where, array.shape, plain.strides, array.dtype.str),
        load=lambda: plain,
        decode=as_stored if known else _as_float32,
    )


def _as_float32(block: np.ndarray) -> np.ndarray:
    return block.astype(np.float32)


def _torch_tensor(name: str, tensor: Any) -> StoredTensor:
    dtype = str(tensor.dtype).rpartition(".")[2]
    shape = _shape(tensor)
    reason = _why_not(tensor, shape, dtype)
    if shape is None or reason is not None:
        return StoredTensor(name, shape or (), dtype, name, None, unsupported=reason)
    return StoredTensor(
        name=name,
        shape=shape,
        dtype=dtype,
        storage=_torch_identity(name, tensor, shape, dtype),
        load=partial(_torch_values, name, tensor, dtype),
        decode=partial(decode, name=dtype),
    )


def _why_not(tensor: Any, shape: Optional[tuple[int, ...]], dtype: str) -> Optional[str]:
    """Returns why the tensor has no readable values, or None if it has."""
    if shape is None:
        return "an uninitialized lazy parameter"
    if tensor.is_quantized:
        return "a quantized tensor"
    if str(tensor.layout) != "torch.strided":
        return f"{str(tensor.layout).rpartition('.')[2]}: not a dense tensor"
    if tensor.device.type == "meta":
        return "on the meta device, without values"
    return why_unsupported(dtype) if dtype in ITEM_SIZE else f"{dtype} is not supported"


def _torch_identity(name: str, tensor: Any, shape: tuple[int, ...], dtype: str) -> object:
    """Returns a key that is equal only for tied tensors."""
    try:
        where = tensor.data_ptr()
    except RuntimeError:  # a tensor subclass that only wraps another tensor
        where = 0
    return _identity(name, where, shape, tuple(tensor.stride()), f"{tensor.device} {dtype}")


def _identity(
    name: str, where: int, shape: tuple[int, ...], stride: tuple[int, ...], about: str
) -> object:
    if not where or 0 in shape:
        return name
    return (where, shape, tuple(s if n > 1 else 0 for n, s in zip(shape, stride)), about)


def _torch_values(name: str, tensor: Any, dtype: str) -> np.ndarray:
    """Returns the values as a file would store them: a view, or a copy if on another device.

    Raises `TensorError` if torch cannot provide them.
    """
    try:
        return _bits(tensor.detach().cpu().resolve_conj().resolve_neg(), dtype)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        line = (str(error).splitlines() or [""])[0]
        raise TensorError(f"{name}: failed to read its values ({excerpt(line)})") from None


def _bits(plain: Any, dtype: str) -> np.ndarray:
    """Convert `plain`, of torch type `dtype`, to an array of `stored_dtype(dtype)`."""
    torch = sys.modules["torch"]
    if dtype == "bfloat16":
        plain = plain.view(torch.int16)
    elif dtype.startswith("float8"):
        plain = plain.view(torch.uint8)
    return np.asarray(plain.numpy()).view(stored_dtype(dtype))
