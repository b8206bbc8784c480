"""The only globals that a pickled checkpoint may use, each with its inert meaning.

From `torch._utils`, `torch._tensor` and `torch.storage` of torch 0.3 to 2.13.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Callable, Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.pickles.description import (
    Builder,
    DType,
    Inert,
    StorageRef,
    StorageType,
    TensorRef,
)
from allennlp_analyze.text.lines import excerpt

Args = tuple[object, ...]

# The most dimensions of a tensor that torch computes with.
MAX_DIMENSIONS = 64
# torch counts elements in signed 64-bit integers.
_LIMIT = 2**63
_MAX_SPARSE_PARTS = 16

_STORAGE_CLASSES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QInt32Storage": "qint32",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
}


def resolve(module: str, name: str) -> object:
    """Returns the inert meaning of a global. Raises `CheckpointError` if it is not allowed."""
    found = _TABLE.get((module, name))
    if found is None:
        raise CheckpointError(
            f"uses the disallowed global {excerpt(module)}.{excerpt(name)}, which plain tensors"
            " do not need; save the model's state_dict() instead"
        )
    return found


def integers(value: object, what: str) -> tuple[int, ...]:
    """Returns `value` as a tuple of integers, one for each dimension.

    Raises `CheckpointError` if it is anything else, or exceeds torch's own limits.
    """
    if not isinstance(value, (tuple, list)):
        raise CheckpointError(f"a tensor's {what} must be a tuple of integers")
    # A pickle can pass one long list to a million tensors, so it is never copied.
    if len(value) > MAX_DIMENSIONS:
        raise CheckpointError(
            f"a tensor's {what} has {len(value)} numbers, more than {MAX_DIMENSIONS}"
        )
    if any(type(item) is not int for item in value):
        raise CheckpointError(f"a tensor's {what} must be a tuple of integers")
    if any(not -_LIMIT <= item < _LIMIT for item in value):
        raise CheckpointError(f"a tensor's {what} has a number of more than 64 bits")
    return tuple(value)


def integer(value: object, what: str) -> int:
    """Returns `value` if it is an integer >= 0 of 64 bits. Raises `CheckpointError` otherwise."""
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise CheckpointError(f"a {what} must be an integer >= 0 of 64 bits")
    return value


def _of_length(args: Args, least: int, what: str) -> Args:
    if len(args) < least:
        raise CheckpointError(f"{what} has {len(args)} arguments; expected {least}")
    return args


def _tensor(args: Args) -> TensorRef:
    storage, offset, size, stride = _of_length(args, 4, "a tensor")[:4]
    if not isinstance(storage, StorageRef):
        raise CheckpointError("a tensor has no storage")
    return TensorRef(
        dtype=storage.dtype,
        shape=integers(size, "shape"),
        stride=integers(stride, "stride"),
        offset=integer(offset, "tensor's offset"),
        storage=storage,
    )


def _tensor_v2(args: Args) -> TensorRef:
    return _with_metadata(_tensor(_of_length(args, 6, "a tensor")), args[6] if args[6:] else None)


def _tensor_v3(args: Args) -> TensorRef:
    dtype = _of_length(args, 7, "a tensor")[6]
    if not isinstance(dtype, DType):
        raise CheckpointError("a tensor's dtype must be a torch.dtype")
    ref = _tensor(args)
    return _with_metadata(replace(ref, dtype=dtype.name), args[7] if args[7:] else None)


def _with_metadata(ref: TensorRef, metadata: object) -> TensorRef:
    flags = metadata if isinstance(metadata, dict) else {}
    return replace(ref, conjugated=flags.get("conj") is True, negated=flags.get("neg") is True)


def _parameter(args: Args) -> TensorRef:
    data = _of_length(args, 3, "a parameter")[0]
    if not isinstance(data, TensorRef):
        raise CheckpointError("a parameter has no tensor")
    return data


def _subclassed(args: Args) -> object:
    """torch._tensor._rebuild_from_type_v2(func, type, args, state): a tensor with attributes."""
    function, _, inner, _ = _of_length(args, 4, "a tensor")[:4]
    # Nested and shared ones could keep the machine busy for days.
    if not (isinstance(function, Builder) and isinstance(inner, tuple)) or (
        function.build is _subclassed
    ):
        raise CheckpointError("a tensor with attributes must be built from a tensor")
    return function.build(inner)


def _sparse(args: Args) -> TensorRef:
    """torch._utils._rebuild_sparse_tensor(layout, (indices..., values, size[, coalesced]))."""
    parts = args[1] if len(args) > 1 and isinstance(args[1], tuple) else ()
    if len(parts) > _MAX_SPARSE_PARTS:
        raise CheckpointError(f"a sparse tensor has {len(parts)} parts")
    sizes = [p for p in parts if isinstance(p, tuple)]
    values = [p for p in parts if isinstance(p, TensorRef)]
    return TensorRef(
        dtype=values[-1].dtype if values else "unknown",
        shape=integers(sizes[-1], "shape") if sizes else (),
        unsupported="a sparse tensor",
    )


def _quantized(args: Args) -> TensorRef:
    return replace(_tensor(args), unsupported="a quantized tensor")


def _meta(args: Args) -> TensorRef:
    dtype, size = _of_length(args, 2, "a tensor")[:2]
    name = dtype.name if isinstance(dtype, DType) else "unknown"
    reason = "a meta tensor, stored without values"
    return TensorRef(dtype=name, shape=integers(size, "shape"), unsupported=reason)


def _unreadable(reason: str) -> Callable[[Args], TensorRef]:
    return lambda args: TensorRef(dtype="unknown", shape=(), unsupported=reason)


def _size(args: Args) -> tuple[int, ...]:
    return integers(args[0], "shape") if args else ()


def _pairs(args: Args) -> "OrderedDict[object, object]":
    """collections.OrderedDict(): empty, or as Python 2 wrote it, from a list of pairs."""
    result: OrderedDict[object, object] = OrderedDict()
    pairs = args[0] if args and isinstance(args[0], list) else []
    for pair in pairs:
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2):
            raise CheckpointError("an OrderedDict must be built from pairs")
        result[safe_key(pair[0])] = pair[1]
    # Python 2 makes the list for this call only. Emptied, it cannot be walked again by another.
    pairs.clear()
    return result


def safe_key(value: object) -> object:
    """Returns a safe stand-in for a dictionary key. Raises `CheckpointError` for other objects.

    Only strings name tensors, and their hashes are unpredictable. Any other key is replaced by its
    type: integers can be chosen so that all of their hashes collide.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, (bytes, int, float, bool, type(None), tuple)):
        raise CheckpointError("its pickle uses a disallowed object as a dictionary key")
    return Inert(type(value).__name__)


def _mapping(args: Args) -> dict[object, object]:
    """collections.defaultdict(factory) or Counter(dict), reduced to a plain dictionary.

    It is not copied, because a pickle could request that a million times.
    """
    return args[-1] if args and isinstance(args[-1], dict) else {}


def _inert(name: str, build: Optional[Callable[[Args], object]] = None) -> Builder:
    return Builder(name, build or (lambda args: Inert(name)))


def _table() -> dict[tuple[str, str], object]:
    utils = {
        "_rebuild_tensor": _tensor,
        "_rebuild_tensor_v2": _tensor_v2,
        "_rebuild_tensor_v3": _tensor_v3,
        "_rebuild_parameter": _parameter,
        "_rebuild_parameter_with_state": _parameter,
        "_rebuild_sparse_tensor": _sparse,
        "_rebuild_sparse_csr_tensor": _sparse,
        "_rebuild_qtensor": _quantized,
        "_rebuild_meta_tensor_no_storage": _meta,
        "_rebuild_nested_tensor": _unreadable("a nested tensor"),
        "_rebuild_device_tensor_from_numpy": _unreadable("a tensor of a device without storage"),
    }
    table: dict[tuple[str, str], object] = {
        ("torch._utils", name): Builder(name, build) for name, build in utils.items()
    }
    table["torch._tensor", "_rebuild_from_type_v2"] = Builder("_rebuild_from_type_v2", _subclassed)
    table["torch", "Size"] = Builder("torch.Size", _size)
    table["collections", "OrderedDict"] = Builder("OrderedDict", _pairs)
    table["collections", "defaultdict"] = Builder("defaultdict", _mapping)
    table["collections", "Counter"] = Builder("Counter", _mapping)
    for name, dtype in _STORAGE_CLASSES.items():
        for module in ("torch", "torch.cuda", "torch.storage"):
            table[module, name] = StorageType(dtype)
    for name in ITEM_SIZE:
        table["torch", name] = DType(name)
    for module, name in _INERT:
        table[module, name] = _inert(f"{module}.{name}")
    return table


_INERT = (
    ("torch", "device"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
    ("torch.serialization", "_get_layout"),
    ("torch", "per_tensor_affine"),
    ("torch", "per_channel_affine"),
    ("torch", "per_tensor_symmetric"),
    ("torch", "per_channel_symmetric"),
    ("torch", "per_channel_affine_float_qparams"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
    *((b, n) for b in ("builtins", "__builtin__") for n in ("list", "dict", "int", "float", "set")),
)
_TABLE = _table()
