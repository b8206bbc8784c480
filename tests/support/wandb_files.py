"""Reads what Weights & Biases keeps of an offline run: messages, in blocks as LevelDB's log."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _FILE_HEADER, _HEADER = 32768, 7, struct.Struct("<IHB")
_FULL, _LAST = 1, 4


def history_rows(folder: Path) -> "list[dict[str, Any]]":
    """The rows of the history of the one run below `folder`, in their order."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.rglob("run-*.wandb")
    rows = []
    for message in _messages(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(message)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({_key(item): json.loads(item.value_json) for item in items})
    return rows


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _messages(written: bytes) -> Iterator[bytes]:
    """Newer releases of wandb have no reader in Python. A message may be in several blocks."""
    at, held = _FILE_HEADER, b""
    while at + _HEADER.size <= len(written):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:  # the end of a block is filled up
            at += left
            continue
        _, length, kind = _HEADER.unpack_from(written, at)
        at += _HEADER.size
        held += written[at : at + length]
        at += length
        if kind in (_FULL, _LAST):
            yield held
            held = b""
