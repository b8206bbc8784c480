"""Looks at the first fields of protocol buffers, for formats without a magic."""

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field: its number, its value if it is a number, its bytes as far as they are at hand.

    `size` is the length that the field states for its bytes.
    """

    number: int
    value: int
    content: bytes
    size: int


def fields(message: bytes) -> Iterator[Field]:
    """Yields the fields at the start of a message, and ends at the first that cannot be one."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if number == 0 or tag > 2**32:
            return
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield Field(number, value, b"", 0)
        elif wire == _BYTES:
            size, at = _varint(message, at)
            yield Field(number, 0, message[at : at + size], size)
            at += size
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
            yield Field(number, 0, b"", 0)
        else:
            return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Returns the number at `at` and the place after it; a number that is cut is 0, at the end."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return 0, len(message)


def is_word(content: bytes) -> bool:
    """Whether these bytes are short readable text."""
    return bool(content) and all(0x20 <= byte < 0x7F for byte in content)


def is_onnx(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes begins like an ONNX model: a version, who made it, a graph."""
    number, found = 0, set()
    for field in fields(head):
        if field.number < number or field.number not in (1, 2, 3, 4, 5, 6, 7, 8, 14):
            return False
        number = field.number
        if number == 1 and not 1 <= field.value <= 255:
            return False
        if number in (2, 3, 4) and field.content and not is_word(field.content):
            return False
        found.add(number)
        if number == 7:
            return 1 in found and field.size < size and field.content[:1] in b"\x0a\x12\x2a\x5a"
    return {1, 2} <= found and 2 in found and number in (6, 7, 8)


def is_saved_model(head: bytes) -> bool:
    """Whether a file begins like a SavedModel of TensorFlow: version 1, then a graph."""
    first = next(fields(head), None)
    return first == Field(1, 1, b"", 0) and head[2:3] == b"\x12" and not is_onnx(head, 2**63)


def is_core_ml(head: bytes) -> bool:
    """Whether a file begins like a Core ML model: a version, then a description with inputs."""
    found = list(fields(head))[:2]
    return (
        len(found) == 2
        and (found[0].number, found[1].number) == (1, 2)
        and 2 <= found[0].value <= 30
        and found[1].content[:1] == b"\x0a"
    )


def is_graph(head: bytes) -> bool:
    """Whether a file begins like a frozen graph of TensorFlow: a node, its name, its operator."""
    node = next(fields(head), None)
    if node is None or node.number != 1 or not node.content:
        return False
    inner = list(fields(node.content))[:2]
    return [x.number for x in inner] == [1, 2] and all(is_word(x.content) for x in inner)
