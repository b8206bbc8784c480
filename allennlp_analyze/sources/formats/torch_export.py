"""Reads the lists of weights and constants of a .pt2 file that torch.export.save wrote."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.formats.pickled_modules import as_module
from allennlp_analyze.sources.pickles.description import StandIn, StorageRef, TensorRef
from allennlp_analyze.sources.pickles.integers import integer, integers
from allennlp_analyze.text.lines import excerpt

FORMAT = "archive_format"
OLD = "serialized_state_dict.pt"
WEIGHTS, CONSTANTS = "data/weights/", "data/constants/"
MAX_LIST_BYTES = 64 * 2**20
_ENDING = "_config.json"
# The numbers of torch._export.serde.schema.ScalarType.
_DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
}


def lists_in(records: Iterable[str], folder: str) -> list[str]:
    """Returns the names of the records in `folder` that list tensors."""
    return [name for name in records if name.startswith(folder) and name.endswith(_ENDING)]


def listed_tensors(text: bytes, folder: str, sizes: Mapping[str, int]) -> dict[str, TensorRef]:
    """Returns the tensors of one list by name; `sizes` are the bytes of each record.

    The key of a storage is the name of its record. Raises `CheckpointError`.
    """
    try:
        entries = json.loads(text)["config"]
        return {name: _tensor(name, entry, folder, sizes) for name, entry in entries.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise CheckpointError("is a damaged file of torch.export: its list of weights") from None


def exported_module(
    weights: Mapping[str, TensorRef], constants: Mapping[str, TensorRef]
) -> StandIn:
    """Returns the module of the file in the form of a pickled one.

    Constants, such as buffers that are not in the state dict, are its attributes.
    """
    module = StandIn("torch.export.ExportedProgram")
    module.state = {**constants, **weights}
    buffers = {name for name, ref in weights.items() if ref.is_buffer}
    as_module(module, weights.keys() - buffers, buffers, undeclared=False)
    return module


def _tensor(name: str, entry: Any, folder: str, sizes: Mapping[str, int]) -> TensorRef:
    meta = entry["tensor_meta"]
    shape = integers([size.get("as_int") for size in meta["sizes"]], "shape")
    dtype = _DTYPES.get(meta["dtype"], "unknown")
    is_buffer = entry.get("is_param") is not True
    if entry.get("use_pickle") or dtype not in ITEM_SIZE:
        reason = "pickled within a file of torch.export" if dtype in ITEM_SIZE else "unknown type"
        return TensorRef(dtype, shape, unsupported=reason, is_buffer=is_buffer)
    key = folder + entry["path_name"]
    if key not in sizes:
        raise CheckpointError(f"the record of {excerpt(name)} is missing")
    size = sizes[key] // ITEM_SIZE[dtype]
    return TensorRef(
        dtype=dtype,
        shape=shape,
        stride=integers([step.get("as_int") for step in meta["strides"]], "stride"),
        offset=integer(meta["storage_offset"]["as_int"], "tensor's offset"),
        storage=StorageRef(key, dtype, size, 0, size),
        is_buffer=is_buffer,
    )
