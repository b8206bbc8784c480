"""Reads a .safetensors file: the safetensors library validates it, values are read on demand."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.formats.guarded import reading
from allennlp_analyze.sources.pickles.description import StorageRef, TensorRef, contiguous_strides
from allennlp_analyze.sources.stored_file import Place, StoredFile, opened
from allennlp_analyze.sources.tensor import INPUTS_LAST, OUTPUTS_LAST, StoredTensor
from allennlp_analyze.sources.views import MAX_TENSORS, stored_tensor
from allennlp_analyze.text.lines import excerpt

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library
_BRACE_OR_STRING = re.compile(rb'\{|"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_OUTPUTS_LAST = ("flax", "jax", "tf", "keras")
_KERNEL = re.compile(r"(?:^|[./])(?:pointwise_|recurrent_)?kernel(?::0)?$")
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}


def read_safetensors(place: Place, label: Optional[str] = None) -> dict[str, StoredTensor]:
    """Returns the tensors by name, in the order of their values in the file, read on demand.

    Messages use `label` in place of the path. Raises `CheckpointError` if the safetensors library
    rejects the file.
    """
    damage = (KeyError, TypeError, ValueError, OverflowError, RecursionError, MemoryError)
    with reading(label or str(place), *damage):
        if isinstance(place, Path) and not place.is_file():
            raise CheckpointError("is not a regular file")
        file = opened(place)
        length = int.from_bytes(file.begin(_LENGTH_BYTES)[:_LENGTH_BYTES], "little")
        end = _LENGTH_BYTES + min(length, _MAX_HEADER_BYTES)
        _check_number(file.begin(end)[_LENGTH_BYTES:end])
        _validate(file.path)
        return _tensors(file, end)


def _check_number(header: bytes) -> None:
    """Refuse too many tensors by their braces, before anything is made of the header."""
    most = MAX_TENSORS + 2  # the header itself, and its metadata
    if header.count(b"{") <= most:
        return
    # Strings may contain braces: names, and what the metadata says.
    braces = (found for found in _BRACE_OR_STRING.finditer(header) if found.group() == b"{")
    if next(itertools.islice(braces, most, None), None) is not None:
        raise CheckpointError(f"contains more than {MAX_TENSORS} tensors")


def _validate(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            file.keys()
    except SafetensorError as error:
        raise CheckpointError(f"is not a valid safetensors file ({excerpt(error)})") from None


def _tensors(file: StoredFile, start: int) -> dict[str, StoredTensor]:
    """Returns the tensors; their values begin at `start`, where the header ends."""
    header = json.loads(file.begin(start)[_LENGTH_BYTES:start].decode("utf-8"))
    said = _format(header.pop("__metadata__", None))
    if len(header) > MAX_TENSORS:
        raise CheckpointError(f"contains more than {MAX_TENSORS} tensors")
    ordered = sorted(header, key=lambda name: header[name]["data_offsets"])
    has_kernels = _has_kernels(said, header)
    # Each entry goes as its tensor comes: they take as much memory.
    return {
        name: _laid_out(_tensor(name, header.pop(name), file, start), said, has_kernels)
        for name in ordered
    }


def _format(metadata: object) -> Optional[str]:
    """The framework that the file's own metadata names, such as "pt", "flax" or "mlx"."""
    said = metadata.get("format") if isinstance(metadata, dict) else None
    return said if isinstance(said, str) else None


def _has_kernels(said: Optional[str], header: dict[str, Any]) -> bool:
    """Whether a tensor called `kernel` has its outputs last, as in JAX and TensorFlow.

    If the metadata names neither these nor another framework, the file has kernels, but no weights.
    """
    if said is None or said == "np":
        return not any(
            len(entry["shape"]) > 1 and name.endswith(".weight") for name, entry in header.items()
        )
    return said in _OUTPUTS_LAST


def _laid_out(tensor: StoredTensor, said: Optional[str], has_kernels: bool) -> StoredTensor:
    if len(tensor.shape) > 1 and has_kernels and _KERNEL.search(tensor.name):
        return replace(tensor, layout=OUTPUTS_LAST)
    if len(tensor.shape) > 2 and said == "mlx" and tensor.name.endswith(".weight"):
        return replace(tensor, layout=INPUTS_LAST)
    return tensor


def _tensor(name: str, entry: dict[str, Any], file: StoredFile, start: int) -> StoredTensor:
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        reason = f"safetensors type {excerpt(entry['dtype'], 20)} is not supported"
        return stored_tensor(name, TensorRef("unknown", shape, unsupported=reason), None)
    # The tensor's name identifies its storage, because tensors cannot overlap in this format.
    size = (end - begin) // ITEM_SIZE[dtype]
    storage = StorageRef(key=name, dtype=dtype, block_size=size, start=0, size=size)
    ref = TensorRef(dtype, shape, contiguous_strides(shape), 0, storage)
    return stored_tensor(name, ref, file.block(start + begin, end - begin))
