"""Walks through an HDF5 file by h5py: follows no link, and reads nothing outside of the file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.views import MAX_TENSORS, Block
from allennlp_analyze.storage.mapped import BytesFile, mapped_copy
from allennlp_analyze.text.lines import excerpt

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 64
MAX_CHUNK_BYTES = 1 << 28
MAX_ATTRIBUTE_BYTES = 16 * 2**20
NEEDS_H5PY = "needs the package h5py (pip install 'allennlp_analyze[keras]')"
# gzip, shuffle, fletcher32 and lzf, which h5py has in itself.
_FILTERS = frozenset((1, 2, 3, 32000))
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class Dataset:
    """An array of the file: the names on the way to it, and where its values are.

    `names` are those of the layers whose groups are on the way, None for another group.
    `why_not` says why it cannot be read.
    """

    path: tuple[str, ...]
    names: tuple[Optional[str], ...]
    shape: tuple[int, ...]
    code: str
    block: Optional[Block] = field(repr=False)
    why_not: Optional[str] = None


def open_hdf5(stored: np.ndarray) -> Any:
    """Opens a file by its bytes, for reading. Raises `CheckpointError`."""
    try:
        import h5py  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise CheckpointError(f"is an HDF5 file, which {NEEDS_H5PY}") from None
    try:
        return h5py.File(BytesFile(stored), "r")
    except Exception as error:
        raise CheckpointError(f"is a damaged HDF5 file ({excerpt(error)})") from None


def datasets(file: Any, stored: np.ndarray) -> Iterator[Dataset]:
    """Yields the arrays of an open file, whose bytes are `stored`. Raises `CheckpointError`."""
    try:
        yield from _Walk(stored, file.userblock_size).group(file, (), (), 0)
    except CheckpointError:
        raise
    except Exception as error:  # of h5py: any of five types
        raise CheckpointError(f"is a damaged HDF5 file ({excerpt(error)})") from None


def text_attribute(node: Any, name: str) -> Optional[str]:
    """Returns an attribute that is one text, None if there is none. Raises `CheckpointError`."""
    try:
        if name not in node.attrs:
            return None
        if node.attrs.get_id(name).get_storage_size() > MAX_ATTRIBUTE_BYTES:
            raise CheckpointError(f"has an attribute {name} of many bytes")
        value: object = node.attrs[name]
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"is a damaged HDF5 file ({excerpt(error)})") from None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None


class _Walk:
    """One pass over a file; each group is entered once, so that a cycle ends."""

    def __init__(self, stored: np.ndarray, userblock: int) -> None:
        self._stored = stored
        self._userblock = userblock
        self._seen: set[int] = set()
        self._count = 0

    def group(
        self, group: Any, path: tuple[str, ...], names: tuple[Optional[str], ...], depth: int
    ) -> Iterator[Dataset]:
        import h5py

        if depth > MAX_DEPTH:
            raise CheckpointError(f"has groups nested more than {MAX_DEPTH} deep")
        for name in group:
            self._count += 1
            if self._count > MAX_TENSORS:
                raise CheckpointError(f"contains more than {MAX_TENSORS} groups and arrays")
            own = (*path, _printable(name))
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise CheckpointError(f"{excerpt('/'.join(own))} is a link, which is refused")
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in self._seen:
                continue
            self._seen.add(address)
            if isinstance(node, h5py.Dataset):
                yield self._dataset(node, own, names)
            elif isinstance(node, h5py.Group):
                yield from self.group(node, own, (*names, self._layer(node)), depth + 1)

    def _layer(self, group: Any) -> Optional[str]:
        """The name of the layer whose group it is: Keras 3 notes it beside the layer's arrays."""
        import h5py

        if not isinstance(group.get("vars", getlink=True), h5py.HardLink):
            return None
        return _printable(text_attribute(group["vars"], "name") or "") or None

    def _dataset(
        self, node: Any, path: tuple[str, ...], names: tuple[Optional[str], ...]
    ) -> Dataset:
        if node.external or node.is_virtual:
            raise CheckpointError(
                f"{excerpt('/'.join(path))} has its values in another file, which is refused"
            )
        shape = tuple(int(size) for size in node.shape or ())
        code, item = node.dtype.str, int(node.dtype.itemsize)
        why_not = "an empty dataset" if node.shape is None else _why_not(node, item)
        block = None if why_not else self._block(node, math.prod(shape) * item)
        return Dataset(path, names, shape, code, block, why_not)

    def _block(self, node: Any, nbytes: int) -> Block:
        offset = node.id.get_offset()
        if offset is None or self._userblock or node.id.get_storage_size() != nbytes:
            return _Unpacked(node, nbytes)
        if offset + nbytes > len(self._stored):
            raise CheckpointError(f"is truncated: {nbytes} bytes at {offset}")
        return _Bytes(self._stored[offset : offset + nbytes])


def _why_not(node: Any, item: int) -> Optional[str]:
    if node.dtype.kind not in "fiubc" or node.dtype.names or node.dtype.subdtype:
        return f"HDF5's type {excerpt(node.dtype, 40)}: not numbers"
    settings = node.id.get_create_plist()
    filters = [int(settings.get_filter(i)[0]) for i in range(settings.get_nfilters())]
    unknown = [number for number in filters if number not in _FILTERS]
    if unknown:
        return f"compressed by HDF5's filter {unknown[0]}: not read"
    if node.chunks is not None and math.prod(node.chunks) * item > MAX_CHUNK_BYTES:
        return f"stored in chunks of more than {MAX_CHUNK_BYTES >> 20} MiB: not read"
    return None


def _printable(name: str) -> str:
    """A name without the surrogates that stand for bytes that are no UTF-8."""
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


class _Bytes:
    """A `Block` of bytes of the file."""

    __slots__ = ("_values", "nbytes")

    inflated = 0

    def __init__(self, values: np.ndarray) -> None:
        self._values, self.nbytes = values, len(values)

    def read(self) -> np.ndarray:
        return self._values


class _Unpacked:
    """A `Block` that h5py unpacks, some rows at a time, whenever it is read."""

    __slots__ = ("_node", "nbytes")

    def __init__(self, node: Any, nbytes: int) -> None:
        self._node, self.nbytes = node, nbytes

    @property
    def inflated(self) -> int:
        return self.nbytes

    def read(self) -> np.ndarray:
        try:
            return mapped_copy(self._pieces())
        except Exception as error:
            raise CheckpointError(f"cannot be unpacked ({excerpt(error)})") from None

    def _pieces(self) -> Iterator[memoryview]:
        if not self._node.shape:
            yield np.ascontiguousarray(self._node[()]).reshape(1).view(np.uint8).data
            return
        rows = len(self._node)
        step = max(1, _PIECE_BYTES * rows // max(self.nbytes, 1)) if rows else 1
        for start in range(0, rows, step):
            piece = np.ascontiguousarray(self._node[start : start + step])
            yield piece.reshape(-1).view(np.uint8).data
