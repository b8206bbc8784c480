"""Reads torch's zip format since 1.6: `<prefix>/data.pkl` and one record per storage."""

import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Optional, TypeVar

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats import torch_export
from allennlp_analyze.sources.formats.torch_script import (
    CODE,
    CONSTANTS,
    MAX_CODE_BYTES,
    is_script,
    script_module,
    script_root,
)
from allennlp_analyze.sources.pickles.description import TensorRef
from allennlp_analyze.sources.pickles.machine import unpickle
from allennlp_analyze.sources.pickles.reader import MAX_PICKLE_BYTES
from allennlp_analyze.sources.views import Block, mapped_block
from allennlp_analyze.storage.mapped import mapped_copy
from allennlp_analyze.storage.zip_directory import check_directory
from allennlp_analyze.text.lines import excerpt

MAX_INFLATED_BYTES = 4 * 2**30
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 0x1
_PIECE_BYTES = 1 << 20
_UTF8 = 0x800

Bytes = TypeVar("Bytes", bytes, memoryview)

_ZIP_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)


def read_zipped(mapping: mmap.mmap, path: str) -> tuple[object, dict[str, Block]]:
    """Returns the pickled object and the bytes of each storage by key.

    The object of a TorchScript archive is its module, and that of a torch.export file its tensors
    by name. Uncompressed records are views of `mapping`; compressed ones are inflated on demand.
    Checksums are compared when a record is read. Raises `CheckpointError` if the file is damaged or
    was not written by torch.
    """
    records = _records(mapping, path)
    exported = [name for name in records if name.partition("/")[2] == torch_export.FORMAT]
    if len(exported) == 1:
        return _read_exported(mapping, records, exported[0][: -len(torch_export.FORMAT)])
    prefix = _prefix(records)
    _check_byte_order(mapping, records, prefix)
    described = unpickle(_read(mapping, records[f"{prefix}data.pkl"], MAX_PICKLE_BYTES))
    blocks = _blocks(mapping, records, f"{prefix}data/", described.storages)
    if not is_script(records, prefix):
        return described.value, blocks
    root = script_root(described.value)
    constants: object = None
    folder = f"{CONSTANTS}/"
    pickled = records.get(f"{prefix}{CONSTANTS}.pkl")
    if pickled is not None:
        found = unpickle(_read(mapping, pickled, MAX_PICKLE_BYTES), folder=folder)
        constants = found.value
        blocks.update(_blocks(mapping, records, prefix, found.storages))
    code = _code(mapping, records, prefix + CODE)
    return script_module(root, constants, code), blocks


def _blocks(
    mapping: mmap.mmap, records: Mapping[str, zipfile.ZipInfo], folder: str, keys: Iterable[str]
) -> dict[str, Block]:
    """Returns the bytes of the storages `keys`, whose records are in `folder`."""
    blocks: dict[str, Block] = {}
    for key in keys:
        record = records.get(f"{folder}{key}")
        if record is None:
            raise CheckpointError(f"the record of storage {excerpt(key)} is missing")
        blocks[key] = _block(mapping, record)
    return blocks


def _code(
    mapping: mmap.mmap, records: Mapping[str, zipfile.ZipInfo], folder: str
) -> Iterator[tuple[str, str]]:
    """Yields the paths below `folder` and the texts of the files of code."""
    left = MAX_CODE_BYTES
    for name, record in records.items():
        if name.startswith(folder) and name.endswith(".py"):
            left -= record.file_size
            if left < 0:
                raise CheckpointError(f"has more than {MAX_CODE_BYTES >> 20} MiB of code")
            text = _read(mapping, record, MAX_CODE_BYTES)
            yield name[len(folder) :], text.decode("utf-8", "replace")


def _read_exported(
    mapping: mmap.mmap, records: Mapping[str, zipfile.ZipInfo], prefix: str
) -> tuple[object, dict[str, Block]]:
    _check_byte_order(mapping, records, prefix)
    sizes = {name: record.file_size for name, record in records.items()}
    found: list[dict[str, TensorRef]] = []
    for folder in (prefix + torch_export.WEIGHTS, prefix + torch_export.CONSTANTS):
        found.append({})
        for name in torch_export.lists_in(records, folder):
            text = _read(mapping, records[name], torch_export.MAX_LIST_BYTES)
            found[-1].update(torch_export.listed_tensors(text, folder, sizes))
    weights, constants = found
    keys = {ref.storage.key for x in found for ref in x.values() if ref.storage}
    module = torch_export.exported_module(weights, constants)
    return module, _blocks(mapping, records, "", keys)


def _records(mapping: mmap.mmap, path: str) -> dict[str, zipfile.ZipInfo]:
    """Returns the records by name, after checking the directory that lists them."""
    try:
        check_directory(mapping)
        with zipfile.ZipFile(path) as archive:
            return _by_name(archive)
    except _ZIP_DAMAGE as error:
        raise CheckpointError(f"is a damaged zip file ({excerpt(error)})") from None


def _by_name(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    records: dict[str, zipfile.ZipInfo] = {}
    for record in archive.infolist():
        if record.filename in records:
            raise CheckpointError(f"contains the record {excerpt(record.filename)} twice")
        records[record.filename] = record
    return records


def _prefix(records: Mapping[str, zipfile.ZipInfo]) -> str:
    """Returns the folder of `data.pkl`, with the slash."""
    if torch_export.OLD in records:
        raise CheckpointError(
            "is a torch.export file of torch before 2.7; save the state_dict of"
            " torch.export.load(file) instead"
        )
    found = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(found) != 1:
        raise CheckpointError(
            f"is a zip file not written by torch.save: expected one data.pkl, found {len(found)}"
        )
    return found[0][: -len("data.pkl")]


def _check_byte_order(
    mapping: mmap.mmap, records: Mapping[str, zipfile.ZipInfo], prefix: str
) -> None:
    record = records.get(f"{prefix}byteorder")
    if record is not None and _read(mapping, record, 16).strip() != b"little":
        raise CheckpointError("was written on a big-endian machine, which is not supported")


@dataclass(frozen=True)
class _DeflatedBlock:
    """A `Block` that is inflated whenever it is read."""

    record: zipfile.ZipInfo
    packed: Block

    @property
    def nbytes(self) -> int:
        return self.record.file_size

    @property
    def inflated(self) -> int:
        return self.record.file_size

    def read(self) -> np.ndarray:
        return _inflate(self.packed.read(), self.record)


class _StoredBlock:
    """A `Block` whose checksum is compared when it is first read."""

    __slots__ = ("_block", "_record")

    inflated = 0

    def __init__(self, block: Block, record: zipfile.ZipInfo) -> None:
        self._block = block
        # torch can be told not to compute checksums; then they are 0.
        self._record: Optional[zipfile.ZipInfo] = record if record.CRC else None

    @property
    def nbytes(self) -> int:
        return self._block.nbytes

    @property
    def mapped(self) -> Block:
        """The same without a checksum."""
        return self._block

    def read(self) -> np.ndarray:
        values = self._block.read()
        if self._record is not None:
            for _ in _checked(_pieces(values), self._record):
                pass
            self._record = None
        return values


def _pieces(values: np.ndarray) -> Iterator[memoryview]:
    for start in range(0, len(values), _PIECE_BYTES):
        yield values[start : start + _PIECE_BYTES].data


def _block(mapping: mmap.mmap, record: zipfile.ZipInfo) -> Block:
    name = excerpt(record.filename)
    start = _data_offset(mapping, record)
    if record.compress_type == zipfile.ZIP_STORED:
        if record.compress_size != record.file_size:
            raise CheckpointError(f"record {name} has contradictory sizes")
        return _StoredBlock(mapped_block(mapping, start, record.file_size), record)
    if record.compress_type != zipfile.ZIP_DEFLATED:
        raise CheckpointError(f"record {name} uses an unsupported compression method")
    if record.file_size > MAX_INFLATED_BYTES:
        raise CheckpointError(f"record {name} inflates to {record.file_size} bytes, too many")
    packed = mapped_block(mapping, start, record.compress_size)
    return _DeflatedBlock(record, packed)


def _read(mapping: mmap.mmap, record: zipfile.ZipInfo, limit: int) -> bytes:
    """Returns the contents of a small record."""
    if record.file_size > limit:
        name = excerpt(record.filename)
        raise CheckpointError(f"record {name} has {record.file_size} bytes, more than {limit}")
    return _block(mapping, record).read().tobytes()


def _data_offset(mapping: mmap.mmap, record: zipfile.ZipInfo) -> int:
    """Returns the offset of a record's bytes, after checking the local header before them."""
    name = excerpt(record.filename)
    header = mapping[record.header_offset : record.header_offset + _LOCAL_HEADER.size]
    if record.header_offset < 0 or len(header) < _LOCAL_HEADER.size:
        raise CheckpointError(f"is truncated: record {name} is missing")
    signature, _, flags, method, *_, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04" or method != record.compress_type:
        raise CheckpointError(f"record {name} is damaged")
    if (record.flag_bits | flags) & _ENCRYPTED:
        raise CheckpointError(f"record {name} is encrypted")
    start = record.header_offset + _LOCAL_HEADER.size
    local_name = mapping[start : start + name_size]
    if local_name.decode("utf-8" if record.flag_bits & _UTF8 else "cp437") != record.orig_filename:
        raise CheckpointError(f"record {name} has another name in its local header")
    return start + int(name_size) + int(extra_size)


def _inflate(packed: np.ndarray, record: zipfile.ZipInfo) -> np.ndarray:
    """Inflate a record into a mapped array of shape (file_size,), which may exceed the memory."""
    name = excerpt(record.filename)
    try:
        return mapped_copy(_checked(_inflated(packed), record))
    except zlib.error as error:
        raise CheckpointError(f"record {name} is damaged ({error})") from None
    except OSError as error:
        raise CheckpointError(f"record {name} cannot be unpacked ({error.strerror})") from None


def _checked(pieces: Iterator[Bytes], record: zipfile.ZipInfo) -> Iterator[Bytes]:
    """Yields the same pieces. Raises `CheckpointError` if size or checksum do not match."""
    size, checksum = 0, 0
    for data in pieces:
        size += len(data)
        checksum = zlib.crc32(data, checksum)
        if size > record.file_size:
            break
        yield data
    if size != record.file_size or checksum != record.CRC:
        raise CheckpointError(f"record {excerpt(record.filename)} fails its checksum")


def _inflated(packed: np.ndarray) -> Iterator[bytes]:
    """Yields the inflated bytes of `packed` in pieces of at most _PIECE_BYTES."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for start in range(0, len(packed), _PIECE_BYTES):
        data = packed[start : start + _PIECE_BYTES].tobytes()
        while data and not inflater.eof:
            yield inflater.decompress(data, _PIECE_BYTES)
            data = inflater.unconsumed_tail
    yield inflater.flush()


def blocks_of_zip(mapping: mmap.mmap, path: str) -> dict[str, Block]:
    """Returns the bytes of each record of any zip file by name. Raises `CheckpointError`."""
    records = _records(mapping, path)
    return {name: _block(mapping, record) for name, record in records.items() if name[-1:] != "/"}


def beginning_of(block: Block, size: int) -> bytes:
    """Returns the first `size` bytes without reading more; a checksum is not compared."""
    if isinstance(block, _DeflatedBlock):
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(block.packed.read().data, size)
        except zlib.error as error:
            name = excerpt(block.record.filename)
            raise CheckpointError(f"record {name} is damaged ({error})") from None
    return (block.mapped if isinstance(block, _StoredBlock) else block).read()[:size].tobytes()
