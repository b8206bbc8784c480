"""ONNX models, written by hand in protobuf's wire format: what the library writes, and worse."""

from collections.abc import Sequence

import numpy as np

DATA_TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int32": 6,
    "int64": 7,
    "float16": 10,
    "float64": 11,
}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: "bytes | str") -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(number(1, n) for n in values.shape)
    kind = number(2, DATA_TYPES[values.dtype.name])
    return dims + kind + message(8, name) + message(9, np.ascontiguousarray(values).tobytes())


def described(name: str, shape: Sequence[int], kind: int, *fields: bytes) -> bytes:
    """A tensor whose values are whatever `fields` say."""
    dims = b"".join(number(1, n) for n in shape)
    return dims + number(2, kind) + message(8, name) + b"".join(fields)


def external(**entries: object) -> bytes:
    """The fields of a tensor with values in another file."""
    pairs = (message(1, key) + message(2, str(value)) for key, value in entries.items())
    return b"".join(message(13, pair) for pair in pairs) + number(14, 1)


def integer(name: str, value: int) -> bytes:
    return message(1, name) + number(3, value) + number(20, 2)


def integers(name: str, values: Sequence[int]) -> bytes:
    return message(1, name) + b"".join(number(8, value) for value in values) + number(20, 7)


def text(name: str, value: str) -> bytes:
    return message(1, name) + message(4, value) + number(20, 3)


def constant(name: str, tensor_: bytes) -> bytes:
    return message(1, name) + message(5, tensor_) + number(20, 4)


def body(name: str, graph_: bytes) -> bytes:
    return message(1, name) + message(6, graph_) + number(20, 5)


def node(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *attributes: bytes,
    name: str = "",
    domain: str = "",
) -> bytes:
    return (
        b"".join(message(1, x) for x in inputs)
        + b"".join(message(2, x) for x in outputs)
        + message(3, name)
        + message(4, operator)
        + b"".join(message(5, x) for x in attributes)
        + (message(7, domain) if domain else b"")
    )


def graph(
    nodes: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
) -> bytes:
    return (
        b"".join(message(1, x) for x in nodes)
        + message(2, "g")
        + b"".join(message(5, x) for x in tensors)
        + b"".join(message(11, message(1, x)) for x in inputs)
        + b"".join(message(12, message(1, x)) for x in outputs)
    )


def model(graph_: bytes, *more: bytes) -> bytes:
    """A model of `graph_`, and other fields of a ModelProto."""
    opset = message(8, message(1, "") + number(2, 17))
    return number(1, 8) + message(2, "hand") + message(7, graph_) + opset + b"".join(more)


def saved(tensors: "dict[str, np.ndarray]") -> bytes:
    """A model with these initializers, and no operator."""
    return model(graph(tensors=[tensor(name, values) for name, values in tensors.items()]))
