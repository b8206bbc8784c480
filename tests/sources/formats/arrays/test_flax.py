"""Trees of Flax, written here as `flax.serialization` writes them; `tests/formats` uses msgpack."""

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.sources.formats.arrays.flax import is_flax, read_flax
from tests.support.msgpack_files import array, mapping, text

pytestmark = pytest.mark.newest_python
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        read_flax(path, "m.msgpack")
    assert tracemalloc.get_traced_memory()[1] < 2**23 and time.process_time() - started < 5
    tracemalloc.stop()
    assert str(caught.value).isprintable() and str(caught.value).startswith("m.msgpack: ")
    return str(caught.value)


def test_a_tree_of_parameters(tmp_path: Path) -> None:
    content = mapping(
        step=b"\x05",
        params=mapping(dense=mapping(kernel=array(VALUES), bias=array(np.ones(3)))),
        opt_state=mapping(**{"0": mapping(mu=array(VALUES))}),
    )
    (tmp_path / "m").write_bytes(content)
    assert is_flax(content[:512])
    tensors = read_flax(tmp_path / "m", "m").tensors
    assert list(tensors) == ["dense.weight", "dense.bias", "opt_state.0.mu"]
    assert np.array_equal(tensors["dense.weight"].values(), VALUES.T)
    assert tensors["dense.weight"].kind == "linear"
    assert tensors["opt_state.0.mu"].joined == "of the optimizer, not of the model"


def test_bfloat16_and_chunks(tmp_path: Path) -> None:
    halves = VALUES.ravel()
    chunked = mapping(
        __msgpack_chunked_array__=b"\xc3",
        shape=mapping(**{"0": b"\x02", "1": b"\x03"}),
        chunks=mapping(**{"0": array(halves[:4]), "1": array(halves[4:])}),
    )
    upper = (VALUES.view(np.uint32) >> 16).astype(np.uint16)
    content = mapping(a=mapping(w=chunked, b=array(upper, "bfloat16"), c=array(VALUES, "strange")))
    (tmp_path / "m").write_bytes(content)
    tensors = read_flax(tmp_path / "m", "m").tensors
    assert np.array_equal(tensors["a.w"].values(), VALUES)
    assert tensors["a.w"].unpacked == 24
    assert np.array_equal(tensors["a.b"].values(), VALUES)
    assert "strange" in (tensors["a.c"].unsupported or "")


def ext(payload: bytes) -> bytes:
    return b"\xc9" + struct.pack(">Ib", len(payload), 1) + payload


WRONG = {
    "is truncated": b"\x81" + text("a"),
    "is truncated: 4294967295 values": b"\xdf" + b"\xff" * 4 + bytes(9),
    "nested more than": (b"\x81" + text("a")) * 3000 + b"\x01",
    "nested more than 64": b"\x81" + text("a") + b"\x91" * 3000 + b"\x01",
    "keys are no names": b"\x81\x01\x01",
    "the name a twice": b"\x82" + (text("a") + b"\x01") * 2,
    "not msgpack": b"\x81" + text("a") + b"\xc1",
    "text of 4294967295": b"\x81\xdb" + b"\xff" * 4,
    "not a tree": b"\x81" + text("a") + b"\x01" + b"more",
    "array a is damaged": mapping(a=ext(b"\x90")),
    "array a is damaged ": mapping(a=ext(b"\x93\x91\xff" + text("float32") + b"\xc4\0")),
    "array a has 0 bytes": mapping(
        a=ext(b"\x93\x92\xcf" + b"\xff" * 8 + b"\x05" + text("float32") + b"\xc4\0")
    ),
    "is truncated: 255 bytes": mapping(a=ext(b"\x93\x91\x05" + text("float32") + b"\xc4\xff")),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_trees_are_refused_in_one_line(tmp_path: Path, message: str) -> None:
    assert message.strip() in refused(tmp_path / "m", WRONG[message])


def test_other_files_are_not_taken_for_trees() -> None:
    for head in (b"", b"\x80\x02}", b"PK\x03\x04", b"{}", b"GGUF", b"\x81", b"\x85\xa3\x00bc\x81"):
        assert not is_flax(head)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_read_or_refused(tmp_path: Path, changes) -> None:
    tree = mapping(params=mapping(dense=mapping(kernel=array(VALUES), bias=array(np.ones(3)))))
    content = bytearray(tree)
    for place, value in changes:
        content[place % len(content)] = value
    (tmp_path / "m").write_bytes(content)
    try:
        for tensor in read_flax(tmp_path / "m", "m").tensors.values():
            if tensor.load is not None:
                assert tensor.values().shape == tensor.shape
    except (CheckpointError, TensorError):
        pass
