"""Wraps torch or numpy tensors in memory as a `Source` without copying them."""

import copy
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError, TensorError, UsageError
from allennlp_analyze.sources.blocks import as_stored
from allennlp_analyze.sources.dtypes import ITEM_SIZE, AsType, stored_dtype, why_unsupported
from allennlp_analyze.sources.formats.state_dict import Found, find_state_dict, named_tensors
from allennlp_analyze.sources.pickles.description import Inert, Key, TensorRef
from allennlp_analyze.sources.pickles.wrappers import why_not_whole
from allennlp_analyze.sources.quantized.candidates import dequantized
from allennlp_analyze.sources.quantized_tensor import INTEGERS, Steps
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.lines import excerpt

Whole = Callable[[str], Any]
MEMORY = "(in memory)"
STATE_DICT = "state dict"
# Modules that only wrap another, and the attribute of the inner one. Checkpoints omit the prefix.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
    "DeepSpeedEngine": "module",
    "OptimizedModule": "_orig_mod",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
}
# Parametrizations of torch whose files say how the weight is computed.
_STATED = frozenset(("_WeightNorm", "_SpectralNorm"))
_WANTED = "expected a mapping of names to torch or numpy tensors"
# How deep nested mappings are searched.
_MAX_NESTED = 100


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


def mapping_source(mapping: Mapping[Any, Any], key: Optional[str] = None) -> Source:
    """Returns the tensors of a mapping by name; a wrapped state dict is unwrapped as in a file.

    `key` picks one state dict of several. Raises `UsageError` if the mapping contains no named
    tensors.
    """
    try:
        found = find_state_dict(_described(mapping, _MAX_NESTED, {}), key)
    except CheckpointError as error:
        raise UsageError(f"the mapping {error}; {_WANTED}") from None
    if not found.tensors and not found.left_out:
        raise UsageError(f"the mapping is empty; {_WANTED}")
    return dequantized(replace(_source(STATE_DICT, found), key=key))


def unwrapped(model: Any) -> Any:
    """Returns a torch.nn.Module without the modules that only wrap it."""
    while (inner := getattr(model, _WRAPPERS.get(type(model).__name__, ""), None)) is not None:
        model = inner
    return model


def is_spread(tensor: Any) -> bool:
    """Whether it is a DTensor, of which each process has a part (FSDP2, tensor parallel)."""
    return any(base.__name__ == "DTensor" for base in type(tensor).__mro__)


def module_source(model: Any, whole: Optional[Whole] = None) -> tuple[Source, Any]:
    """Returns the state dict of a torch.nn.Module, and the module without its wrappers.

    `whole` takes the name of a tensor that is spread over processes and returns all of it; it is
    called when the values are read. Without it such tensors cannot be read.

    The weight that a parametrization computes stands in place of the parameter that it is computed
    from, unless a file of the same tensors would say how. A module of transformers has its
    configuration with it, as a directory has its config.json.

    Raises `UsageError` if the module has no parameters.
    """
    model = unwrapped(model)
    name = type(model).__name__
    found = named_tensors(_described(model.state_dict(), _MAX_NESTED, {}))
    if not found.tensors:
        raise UsageError(f"the module {excerpt(name)} has no parameters")
    source = _source(name, found)
    computed = {
        x: replace(_held(x, weight), is_weight=True)
        for x, weight in _computed(model, found.tensors)
    }
    spread = {} if whole is None else _gathered(found.tensors, whole)
    tensors = {**source.tensors, **spread, **computed}
    source = replace(source, tensors=tensors, config=_configuration(model))
    return dequantized(source), model


def _computed(model: Any, tensors: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the weights that parametrizations compute, by the name of their first parameter.

    Each is computed by a copy in evaluation mode: some change their state when they are asked.
    """
    for path, module in model.named_modules():
        if type(module).__name__ != "ParametrizationList":
            continue
        if any(is_spread(parameter) for parameter in module.parameters()):
            continue  # every process would have to take part
        name = next((x for x in (f"{path}.original", f"{path}.original0") if x in tensors), None)
        steps = [type(step).__name__ for step in module]
        if name is None or (len(steps) == 1 and steps[0] in _STATED):
            continue
        try:
            torch = sys.modules["torch"]
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                weight = copy.deepcopy(module).eval()()
        except Exception:  # someone else's code; the row says that it is not the weight
            continue
        if is_tensor(weight):
            yield name, weight


def _gathered(tensors: Mapping[str, Any], whole: Whole) -> dict[str, StoredTensor]:
    """Returns the spread ones of `tensors`; each is put together when its values are read."""
    found = {}
    for name, ref in tensors.items():
        tensor: Any = getattr(ref, "tensor", None)
        dtype, shape = str(getattr(tensor, "dtype", "")).rpartition(".")[2], _shape(tensor)
        if is_spread(tensor) and shape is not None and _why_not(tensor, shape, dtype) is None:
            found[name] = StoredTensor(
                name=name,
                shape=shape,
                dtype=dtype,
                storage=_torch_identity(name, tensor.to_local(), shape, dtype),
                load=partial(_whole_values, name, whole, dtype),
                decode=AsType(dtype),
                kind=ref.kind,
                is_buffer=ref.is_buffer,
            )
    return found


def _whole_values(name: str, whole: Whole, dtype: str) -> np.ndarray:
    return _torch_values(name, whole(name), dtype)


def _configuration(model: Any) -> Mapping[str, object]:
    """Returns what transformers would write as the module's config.json, {} for other modules."""
    describe = getattr(getattr(model, "config", None), "to_dict", None)
    try:
        config = describe() if callable(describe) else {}
    except Exception:  # someone else's code; without it, names and shapes decide
        return {}
    return config if isinstance(config, Mapping) else {}


def _source(name: str, found: Found) -> Source:
    return Source(
        archive=name,
        resolved=MEMORY,
        sha256=None,
        weights_file="",
        tensors={name: _stored(name, ref) for name, ref in found.tensors.items()},
        left_out=tuple(found.left_out),
    )


def _described(value: Any, depth: int, known: dict[int, tuple[Any, object]]) -> object:
    """Describe `value` in the form that the readers of weights files return.

    What stands in several places is described once: `known` has it, and its description.
    """
    if id(value) in known:
        return known[id(value)][1]
    described: object = None
    if is_tensor(value):
        described = _Held(str(value.dtype), _shape(value) or (), tensor=value)
    elif is_module(value):
        described = _described(value.state_dict(), depth, known)
    elif depth and isinstance(value, Mapping):
        names = {key: key if isinstance(key, str) else Key(excerpt(key, 100)) for key in value}
        described = {names[key]: _described(value[key], depth - 1, known) for key in value}
    elif depth and isinstance(value, (list, tuple)):
        described = [_described(item, depth - 1, known) for item in value]
        described = tuple(described) if isinstance(value, tuple) else described
    elif value is not None:
        described = Inert(type(value).__name__)
    known[id(value)] = (value, described)
    return described


def _stored(name: str, ref: TensorRef) -> StoredTensor:
    assert isinstance(ref, _Held)  # `_described` creates no others
    return replace(_held(name, ref.tensor), kind=ref.kind, is_buffer=ref.is_buffer)


def _held(name: str, tensor: Any) -> StoredTensor:
    is_array = isinstance(tensor, np.ndarray)
    return _numpy_array(name, tensor) if is_array else _torch_tensor(name, tensor)


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
    reason = None
    if is_spread(tensor):
        tensor, reason = _local(tensor)
    reason = reason or _why_not(tensor, shape, dtype)
    if shape is None or reason is not None:
        return StoredTensor(name, shape or (), dtype, name, None, unsupported=reason)
    if tensor.is_quantized:
        load = partial(_dequantized, name, tensor)
        return StoredTensor(name, shape, "float32", name, load, noise=partial(_steps, tensor))
    return StoredTensor(
        name=name,
        shape=shape,
        dtype=dtype,
        storage=_torch_identity(name, tensor, shape, dtype),
        load=partial(_torch_values, name, tensor, dtype),
        decode=AsType(dtype),
    )


def _local(tensor: Any) -> tuple[Any, Optional[str]]:
    """Returns what this process has of a DTensor, and why that is not the whole, if it is not."""
    local, partial = tensor.to_local(), any(x.is_partial() for x in tensor.placements)
    is_whole = _shape(local) == _shape(tensor) and not partial
    return local, None if is_whole else why_not_whole(tensor.device_mesh.size(), partial)


def _why_not(tensor: Any, shape: Optional[tuple[int, ...]], dtype: str) -> Optional[str]:
    """Returns why the tensor has no readable values, or None if it has."""
    if shape is None:
        return "an uninitialized lazy parameter"
    if tensor.is_quantized:
        return None if dtype in INTEGERS else "a quantized tensor"
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


def _dequantized(name: str, tensor: Any) -> np.ndarray:
    return _torch_values(name, tensor.dequantize(), "float32")


def _steps(tensor: Any) -> Steps:
    if str(tensor.qscheme()).startswith("torch.per_channel"):
        return Steps(tensor.q_per_channel_scales().double().numpy(), tensor.q_per_channel_axis())
    return Steps(np.asarray(tensor.q_scale()))


def _bits(plain: Any, dtype: str) -> np.ndarray:
    """Convert `plain`, of torch type `dtype`, to an array of `stored_dtype(dtype)`."""
    torch = sys.modules["torch"]
    if dtype == "bfloat16":
        plain = plain.view(torch.int16)
    elif dtype.startswith("float8"):
        plain = plain.view(torch.uint8)
    return np.asarray(plain.numpy()).view(stored_dtype(dtype))
