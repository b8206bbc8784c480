"""Recognizes an ONNX model, which has no magic number, by the first fields of its message."""

from typing import Optional

MAX_VERSION = 63
_VARINT, _BYTES = 0, 2
# The fields of a ModelProto by number, and those of a GraphProto, with their wire types.
_MODEL = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH = {1: 2, 2: 2, 5: 2, 10: 2, 11: 2, 12: 2, 13: 2, 14: 2, 15: 2, 16: 2}
_PRODUCER, _VERSION_TEXT, _GRAPH_FIELD = 2, 3, 7
_MAX_TEXT = 300


def is_onnx(head: bytes) -> bool:
    """Whether `head`, the first bytes of a file, begins an ONNX model.

    The version comes first, then known fields: texts that are texts, a graph with known fields.
    """
    if head[:1] != b"\x08":
        return False
    version, position = _varint(head, 1)
    if version is None or not 0 < version <= MAX_VERSION:
        return False
    fields = 0
    while position < len(head):
        tag, position = _varint(head, position)
        value, position = _varint(head, position) if tag is not None else (None, position)
        if tag is None or value is None:
            return fields > 0 and position >= len(head)
        number, wire = tag >> 3, tag & 7
        if _MODEL.get(number) != wire:
            return False
        fields += 1
        if wire == _VARINT:
            continue
        inside = head[position : position + value]
        if number in (_PRODUCER, _VERSION_TEXT) and not _is_text(inside, value):
            return False
        if number == _GRAPH_FIELD and not _is_graph(inside):
            return False
        position += value
    return fields > 0


def _is_text(text: bytes, length: int) -> bool:
    return length <= _MAX_TEXT and text.decode("utf-8", "replace").isprintable()


def _is_graph(inside: bytes) -> bool:
    tag, _ = _varint(inside, 0)
    return tag is None or _GRAPH.get(tag >> 3) == tag & 7


def _varint(data: bytes, position: int) -> "tuple[Optional[int], int]":
    """The number at `position` and the position after it; None if the bytes end before it does."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return None, position
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return None, len(data)
