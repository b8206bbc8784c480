"""Reads torch's format before 1.6: pickles, then the length and bytes of every storage."""

import mmap

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.pickles.description import StorageRef
from allennlp_analyze.sources.pickles.machine import unpickle
from allennlp_analyze.sources.views import Block, mapped_block
from allennlp_analyze.text.lines import excerpt

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
_LENGTH_BYTES = 8


def read_legacy(mapping: mmap.mmap) -> tuple[object, dict[str, Block]]:
    """Returns the pickled object and the bytes of each storage by key (see torch.serialization).

    Raises `CheckpointError` if the file is damaged or not in this format.
    """
    position = _read_header(mapping)
    described = unpickle(mapping, position)
    keys = unpickle(mapping, described.end)
    return described.value, _locate(mapping, keys.end, _checked(keys.value), described.storages)


def _read_header(mapping: mmap.mmap) -> int:
    """Check magic number, version and byte order; returns the start of the object's pickle."""
    magic = unpickle(mapping)
    if type(magic.value) is not int or magic.value != MAGIC_NUMBER:
        raise CheckpointError("is a plain pickle, not a file written by torch.save")
    version = unpickle(mapping, magic.end)
    if version.value != PROTOCOL_VERSION:
        found = version.value if type(version.value) is int else "another"
        raise CheckpointError(f"has protocol version {found}; expected {PROTOCOL_VERSION}")
    system = unpickle(mapping, version.end)
    if not isinstance(system.value, dict) or system.value.get("little_endian") is not True:
        raise CheckpointError("was written on a big-endian machine, which is not supported")
    return system.end


def _checked(keys: object) -> list[str]:
    if not isinstance(keys, list) or any(not isinstance(key, (str, int)) for key in keys):
        raise CheckpointError("is damaged: its list of storages contains something other than keys")
    names = [str(key) for key in keys]
    if len(set(names)) != len(names):
        raise CheckpointError("is damaged: it lists a storage twice")
    return names


def _locate(
    mapping: mmap.mmap, position: int, keys: list[str], storages: dict[str, StorageRef]
) -> dict[str, Block]:
    """Returns the bytes of each storage; they are stored one after another."""
    blocks: dict[str, Block] = {}
    for key in keys:
        if key not in storages:
            raise CheckpointError(f"storage {excerpt(key)} is not used by any tensor")
        blocks[key] = _block(mapping, position, storages[key])
        position += _LENGTH_BYTES + blocks[key].nbytes
    if position < len(mapping):
        raise CheckpointError(f"is damaged: {len(mapping) - position} bytes follow its storages")
    return blocks


def _block(mapping: mmap.mmap, position: int, storage: StorageRef) -> Block:
    length = mapping[position : position + _LENGTH_BYTES]
    if len(length) < _LENGTH_BYTES:
        raise CheckpointError(f"is truncated: storage {excerpt(storage.key)} is missing")
    size = int.from_bytes(length, "little", signed=True)
    if size != storage.block_size:
        raise CheckpointError(
            f"storage {excerpt(storage.key)}: expected {storage.block_size} elements, got {size}"
        )
    return mapped_block(mapping, position + _LENGTH_BYTES, size * ITEM_SIZE[storage.dtype])
