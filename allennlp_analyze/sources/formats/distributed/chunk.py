"""Reads one chunk of a distributed checkpoint: a tensor as torch.save writes it, within a file."""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.pickles.description import TensorRef
from allennlp_analyze.sources.pickles.machine import unpickle
from allennlp_analyze.sources.views import stored_tensor
from allennlp_analyze.storage.mapped import BytesFile

# What torch.save writes beside the values: some small records and padding.
MAX_OVERHEAD = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_PIECE_BYTES = 1 << 20


def read_chunk(stored: np.ndarray, sizes: tuple[int, ...], dtype: str) -> np.ndarray:
    """Returns the values of the chunk in the bytes `stored`, as a view of them.

    Raises `CheckpointError`, or what `zipfile` raises, if it is no tensor of that shape and type.
    """
    nbytes = math.prod(sizes) * ITEM_SIZE[dtype]
    if len(stored) > nbytes + MAX_OVERHEAD:
        raise CheckpointError(f"a chunk has {len(stored)} bytes for a tensor of {nbytes}")
    with zipfile.ZipFile(BytesFile(stored)) as archive:
        records = {record.filename.partition("/")[2]: record for record in archive.infolist()}
    if "data.pkl" not in records:
        raise CheckpointError("a chunk is not a tensor written by torch.save")
    described = unpickle(_values(stored, records["data.pkl"]).tobytes())
    ref = described.value
    if not isinstance(ref, TensorRef) or ref.storage is None:
        raise CheckpointError("a chunk is not a plain tensor")
    if ref.shape != sizes or ref.dtype != dtype:
        raise CheckpointError(f"a chunk is {ref.dtype} of another shape than its metadata says")
    record = records.get(f"data/{ref.storage.key}")
    if record is None:
        raise CheckpointError("the values of a chunk are missing")
    tensor = stored_tensor("chunk", ref, _Values(_values(stored, record)))
    return tensor.stored()


class _Values:
    """A `Block` of values that are at hand."""

    inflated = 0

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.nbytes = len(values)

    def read(self) -> np.ndarray:
        return self._values


def _values(stored: np.ndarray, record: zipfile.ZipInfo) -> np.ndarray:
    """Returns the bytes of an uncompressed record, after checking its header and checksum."""
    start = record.header_offset
    header = stored[start : start + _LOCAL_HEADER.size].tobytes()
    signature, _, flags, method, *_, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04" or method or record.compress_type or flags & 1:
        raise CheckpointError("a chunk is compressed, encrypted or damaged")
    begin = start + _LOCAL_HEADER.size + name_size + extra_size
    values = stored[begin : begin + record.file_size]
    if len(values) != record.file_size:
        raise CheckpointError("a chunk is truncated")
    if record.CRC and _checksum(values) != record.CRC:
        raise CheckpointError("a chunk fails its checksum")
    return values


def _checksum(values: np.ndarray) -> int:
    checksum = 0
    for piece in _pieces(values):
        checksum = zlib.crc32(piece, checksum)
    return checksum


def _pieces(values: np.ndarray) -> Iterator[memoryview]:
    for start in range(0, len(values), _PIECE_BYTES):
        yield values[start : start + _PIECE_BYTES].data
