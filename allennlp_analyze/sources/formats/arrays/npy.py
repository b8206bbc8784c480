"""Reads .npy and .npz files of numpy without unpickling anything; values are mapped."""

import ast
import mmap
import re
from pathlib import Path

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.arrays.layouts import Array, dtype_name, tensor_of, unread
from allennlp_analyze.sources.formats.guarded import mapped, reading
from allennlp_analyze.sources.formats.torch_zip import beginning_of, blocks_of_zip
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.sources.views import (
    MAX_DIMENSIONS,
    MAX_TENSORS,
    Block,
    mapped_block,
)
from allennlp_analyze.text.lines import excerpt

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 16_384  # numpy's own limit is 10,000
_ENDING = ".npy"
_SEPARATORS = re.compile(r"[/.]")


def read_npz(path: Path, label: str) -> dict[str, StoredTensor]:
    """Returns the arrays of an .npz file by name. Raises `CheckpointError`."""
    with reading(label):
        return _read_npz(mapped(path), path)


def read_npy(path: Path, label: str) -> dict[str, StoredTensor]:
    """Returns the one array of an .npy file, called "array". Raises `CheckpointError`."""
    with reading(label):
        mapping = mapped(path)
        tensor = _tensor("array", mapped_block(mapping, 0, len(mapping)))
        return {tensor.name: tensor}


def _read_npz(mapping: mmap.mmap, path: Path) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    blocks = blocks_of_zip(mapping, str(path))
    if len(blocks) > MAX_TENSORS:
        raise CheckpointError(f"contains more than {MAX_TENSORS} arrays")
    for name, block in blocks.items():
        if not name.endswith(_ENDING):
            continue
        tensor = _tensor(name[: -len(_ENDING)], block)
        if tensor.name in tensors:
            raise CheckpointError(f"contains the array {excerpt(tensor.name)} twice")
        tensors[tensor.name] = tensor
    if not tensors:
        raise CheckpointError("is a zip file without arrays (.npy)")
    return tensors


def _tensor(name: str, block: Block) -> StoredTensor:
    """Returns the array of one .npy file. Raises `CheckpointError`."""
    head = beginning_of(block, len(MAGIC) + 6 + MAX_HEADER_BYTES)
    try:
        text, start = _header(head)
        described = ast.literal_eval(text)
        code, shape = described["descr"], described["shape"]
        is_fortran = described["fortran_order"]
    except (ValueError, SyntaxError, TypeError, LookupError, RecursionError, MemoryError) as error:
        raise CheckpointError(
            f"array {excerpt(name)} has a damaged header ({excerpt(error, 60)})"
        ) from None
    is_shape = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not is_shape or type(is_fortran) is not bool or len(shape) > MAX_DIMENSIONS:
        raise CheckpointError(f"array {excerpt(name)} has a damaged header (its shape)")
    path = _SEPARATORS.split(name)
    dtype = dtype_name(code) if isinstance(code, str) else None
    if dtype is None:
        is_object = isinstance(code, str) and code.lstrip("<>|=").startswith("O")
        what = "pickled objects" if is_object else f"type {excerpt(code, 40)}"
        return unread(path, shape, f"{what} of numpy: not read")
    return tensor_of(
        path,
        Array(shape, dtype, block, start, is_fortran, is_swapped=code.startswith(">")),
    )


def _header(head: bytes) -> tuple[str, int]:
    """Returns the text of the header, and where the values start. Raises `ValueError`."""
    if not head.startswith(MAGIC) or len(head) < 12:
        raise ValueError("no .npy file")
    wide = head[6] > 1
    begin = 12 if wide else 10
    length = int.from_bytes(head[8:begin], "little")
    if length > MAX_HEADER_BYTES or begin + length > len(head):
        raise ValueError(f"a header of {length} bytes")
    return head[begin : begin + length].decode("utf-8" if head[6] > 2 else "latin-1"), (
        begin + length
    )
