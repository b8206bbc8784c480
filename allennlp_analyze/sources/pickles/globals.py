"""The globals that tensors need, each with its inert meaning; any other is a stand-in.

From `torch._utils`, `torch._tensor` and `torch.storage` of torch 0.3 to 2.13.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Callable, Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.pickles.arrays import NumpyArray, NumpyType
from allennlp_analyze.sources.pickles.description import (
    Builder,
    DType,
    EncodedText,
    Inert,
    Key,
    Quantizer,
    StandIn,
    StorageRef,
    StorageType,
    TensorRef,
    Unknown,
)
from allennlp_analyze.sources.pickles.integers import integer, integers
from allennlp_analyze.sources.pickles.refused import check_attribute, check_global, refusal
from allennlp_analyze.sources.pickles.wrappers import WRAPPER, wrapped_tensor
from allennlp_analyze.text.lines import excerpt

Args = tuple[object, ...]

_MAX_SPARSE_PARTS = 16
_MEMBER = Inert("a member of a class")

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
    """Returns the inert meaning of a global: what the table says, or a stand-in for its name.

    Raises `CheckpointError` for one with which a pickle could run code.
    """
    found = _TABLE.get((module, name))
    if found is not None:
        return found
    check_global(module, name)
    return Unknown(module, name)


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
    if isinstance(data, StandIn):
        return _unread(data)
    if not isinstance(data, TensorRef):
        raise CheckpointError("a parameter has no tensor")
    return data


def _unread(data: StandIn) -> TensorRef:
    return TensorRef("unknown", (), unsupported=f"a tensor made by {excerpt(data.name, 80)}")


def _subclassed(args: Args) -> object:
    """torch._tensor._rebuild_from_type_v2(func, type, args, state): a tensor with attributes."""
    function, kind, inner, state = _of_length(args, 4, "a tensor")[:4]
    if isinstance(function, Unknown):
        return StandIn(kind if isinstance(kind, Unknown) else function, (inner, state))
    if isinstance(function, Builder) and function.name == WRAPPER and isinstance(inner, tuple):
        return wrapped_tensor(inner, state, integers)
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
    """torch._utils._rebuild_qtensor(storage, offset, size, stride, parameters, ...)."""
    ref = _tensor(args)
    quantizer = _quantizer(args[4]) if args[4:] else None
    if quantizer is None:
        return replace(ref, unsupported="a quantized tensor")
    return replace(ref, quantizer=quantizer)


def _quantizer(parameters: object) -> Optional[Quantizer]:
    """Returns what (scheme, scale, zero point[, axis]) says; None if that is not known."""
    parts = parameters if isinstance(parameters, tuple) else ()
    if len(parts) == 3 and type(parts[1]) is float and type(parts[2]) is int:
        return Quantizer(parts[1], parts[2])
    scale, zero, axis = parts[1:4] if len(parts) == 4 else (None, None, None)
    if isinstance(scale, TensorRef) and isinstance(zero, TensorRef) and type(axis) is int:
        return Quantizer(scale, zero, axis)
    return None


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
    """Returns a safe stand-in for a dictionary key: the key itself if it is a string.

    The hashes of strings are unpredictable; a `Key` is equal to itself alone.
    """
    if isinstance(value, str):
        return value
    plain = isinstance(value, (int, float, bool, type(None), DType, Unknown))
    return Key(excerpt(value, 100) if plain else type(value).__name__)


def _mapping(args: Args) -> dict[object, object]:
    """collections.defaultdict(factory) or Counter(dict), reduced to a plain dictionary.

    It is not copied, because a pickle could request that a million times.
    """
    return args[-1] if args and isinstance(args[-1], dict) else {}


def _inert(name: str, build: Optional[Callable[[Args], object]] = None) -> Builder:
    return Builder(name, build or (lambda args: Inert(name)))


def _encoded(args: Args) -> object:
    """_codecs.encode(text, "latin1") or bytes(): bytes, which are made only if they are needed."""
    if not args:
        return b""  # bytes()
    is_bytes = len(args) == 2 and isinstance(args[0], str) and args[1] in ("latin1", "latin-1")
    return EncodedText(str(args[0])) if is_bytes else Inert("bytes")


def _old_object(args: Args) -> object:
    """copyreg._reconstructor(class, base, state) or __newobj__(class, ...)."""
    made_by = args[0] if args and isinstance(args[0], Unknown) else Unknown("builtins", "object")
    return StandIn(made_by, args[1:])


def _stand_in(module: str, name: str) -> Builder:
    made_by = Unknown(module, name)
    return Builder(str(made_by), lambda args: StandIn(made_by, args))


def _member(args: Args) -> Inert:
    """getattr(class, name), as Python 3.11.0 to 3.11.3 pickles a member of an enumeration.

    Nothing is looked up, and nothing can be called by what it returns.
    """
    owner, name = args if len(args) == 2 else (None, None)
    if not (isinstance(owner, Unknown) and isinstance(name, str)):
        raise refusal("builtins", "getattr")
    check_attribute(name)
    return _MEMBER


def _first(args: Args) -> object:
    """torch.jit._pickle's functions say only the type of their first argument."""
    return args[0] if args else None


def _numpy() -> dict[tuple[str, str], object]:
    table: dict[tuple[str, str], object] = {
        ("numpy", "dtype"): Builder("dtype", lambda args: NumpyType("numpy.dtype", args))
    }
    for package in ("numpy.core", "numpy._core"):
        for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer")):
            array = Builder(name, lambda args: NumpyArray("numpy.ndarray", args))
            table[f"{package}.{module}", name] = array
    return table


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
    table["torch._utils", WRAPPER] = Builder(WRAPPER, _unreadable("a wrapped tensor"))
    table["torch._tensor", "_rebuild_from_type_v2"] = Builder("_rebuild_from_type_v2", _subclassed)
    table["torch", "Size"] = Builder("torch.Size", _size)
    table["collections", "OrderedDict"] = Builder("OrderedDict", _pairs)
    table["collections", "defaultdict"] = Builder("defaultdict", _mapping)
    table["collections", "Counter"] = Builder("Counter", _mapping)
    table["_codecs", "encode"] = Builder("_codecs.encode", _encoded)
    for module in ("copyreg", "copy_reg"):
        for name in ("_reconstructor", "__newobj__"):
            table[module, name] = Builder(name, _old_object)
    names = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
    for name in (*names, "restore_type_tag"):
        table["torch.jit._pickle", name] = Builder(name, _first)
    for name, dtype in _STORAGE_CLASSES.items():
        for module in ("torch", "torch.cuda", "torch.storage"):
            table[module, name] = StorageType(dtype)
    for name in ITEM_SIZE:
        table["torch", name] = DType(name)
    for module, name in _INERT:
        table[module, name] = _inert(f"{module}.{name}")
    for module in ("builtins", "__builtin__"):
        for name in ("list", "dict", "int", "float", "set", "frozenset"):
            table[module, name] = _stand_in("builtins", name)
        for name in ("bytes", "bytearray"):
            table[module, name] = Builder(name, _encoded)
        table[module, "getattr"] = Builder("getattr", _member)
    return {**table, **_numpy()}


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
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
)
_TABLE = _table()
