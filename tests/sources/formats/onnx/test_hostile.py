"""Files that are damaged or made to harm: one line, bounded time and memory."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.onnx import model, wire
from allennlp_analyze.sources.formats.onnx.reading import read_onnx
from allennlp_analyze.sources.formats.onnx.recognition import is_onnx
from tests.support import onnx_files as onnx

pytestmark = pytest.mark.newest_python
W = np.arange(12, dtype=np.float32).reshape(3, 4)


def refused(path: Path, data: bytes, match: str) -> None:
    (path / "m.onnx").write_bytes(data)
    started = time.process_time()
    with pytest.raises(CheckpointError, match=match) as caught:
        read_onnx(path / "m.onnx")
    assert str(caught.value).startswith(str(path / "m.onnx")) and "\n" not in str(caught.value)
    assert time.process_time() - started < 20


def nested(depth: int) -> bytes:
    inner = onnx.graph()
    for _ in range(depth):
        inner = onnx.graph([onnx.node("If", "x", "y", onnx.body("then_branch", inner))])
    return inner


CASES = {
    "empty": (b"", "is empty"),
    "junk": (b"nothing of the kind", "damaged"),
    "no graph": (onnx.number(1, 8), "has no graph"),
    "no version": (onnx.message(7, onnx.graph()), "one graph and one version"),
    "two graphs": (onnx.model(onnx.graph(), onnx.message(7, onnx.graph())), "one graph"),
    "a length beyond the file": (
        onnx.number(1, 8) + onnx.varint(7 << 3 | 2) + onnx.varint(2**63),
        "truncated or damaged",
    ),
    "a length beyond the message": (
        onnx.model(onnx.varint(5 << 3 | 2) + onnx.varint(100)),
        "truncated or damaged",
    ),
    "a number of 11 bytes": (b"\x08" + b"\xff" * 10 + b"\x01", "a number has no end"),
    "a number of 70 bits": (b"\x08" + b"\xff" * 9 + b"\x7f", "a number has no end"),
    "a group": (onnx.number(1, 8) + bytes([7 << 3 | 3]), "wire type 3"),
    "field 0": (onnx.number(1, 8) + b"\x00\x00", "number 0"),
    "deep graphs": (onnx.model(nested(40)), "nested more than 32 deep"),
    "a long name": (onnx.model(onnx.message(2, "n" * 20_000)), "a name of more than"),
    "an HTML page": (b"<!DOCTYPE html><html>", "HTML page"),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_said_in_one_line(tmp_path: Path, case: str) -> None:
    refused(tmp_path, *CASES[case])


def test_deeper_than_python_can_go(tmp_path: Path) -> None:
    """Built from the inside, as it grows quadratically: 2,000 levels."""
    refused(tmp_path, onnx.model(nested(2000)), "nested more than 32 deep")


def test_numbers_of_things_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MAX_NODES", 1000)
    monkeypatch.setattr(model, "MAX_TENSORS", 500)
    refused(tmp_path, onnx.model(onnx.message(1, b"") * 1001), "more than 1000 nodes")
    tensor = onnx.message(5, onnx.described("", (0,), 1))
    data = onnx.model(onnx.message(1, onnx.node("X", "", "", tensor)) * 501)
    refused(tmp_path, data, "more than 500 tensors")
    monkeypatch.setattr(wire, "MAX_FIELDS", 1000)
    refused(tmp_path, onnx.model(onnx.message(99, b"") * 2000), "more than 1000 fields")


def test_many_nodes_take_linear_time(tmp_path: Path) -> None:
    """One weight through a long chain, and a chain of joins that doubles at each step."""
    chain = [onnx.node("Identity", [f"a{i}"], [f"a{i + 1}"]) for i in range(5_000)]
    joins = [onnx.node("Concat", [f"b{i}"] * 50, [f"b{i + 1}"]) for i in range(500)]
    turns = [onnx.node("Transpose", [f"c{i}"], [f"c{i + 1}"]) for i in range(5_000)]
    stored = [onnx.tensor(name, W) for name in ("a0", "b0", "c0")]
    nodes = [*chain, *joins, *turns, onnx.node("MatMul", ["x", "a5000"], "y")]
    (tmp_path / "m.onnx").write_bytes(onnx.model(onnx.graph(nodes, stored)))
    started = time.process_time()
    found = read_onnx(tmp_path / "m.onnx").tensors
    assert time.process_time() - started < 20
    assert found["a0"].kind == "linear" and found["a0"].shape == (4, 3)


def test_functions_that_call_each_other_twice_are_followed_once(tmp_path: Path) -> None:
    functions = []
    for i in range(60):
        calls = [
            onnx.node(f"F{i + 1}", "a", "b", domain="d"),
            onnx.node(f"F{i + 1}", "a", "c", domain="d"),
        ]
        functions.append(
            onnx.message(
                25,
                onnx.message(1, f"F{i}")
                + onnx.message(4, "a")
                + onnx.message(5, "c")
                + b"".join(onnx.message(7, call) for call in calls)
                + onnx.message(10, "d"),
            )
        )
    graph = onnx.graph([onnx.node("F0", "w", "y", domain="d")], [onnx.tensor("w", W)])
    (tmp_path / "m.onnx").write_bytes(onnx.model(graph, *functions))
    started = time.process_time()
    read_onnx(tmp_path / "m.onnx")
    assert time.process_time() - started < 5


def test_every_weight_of_one_name_gets_its_own(tmp_path: Path) -> None:
    value = onnx.constant("value", onnx.tensor("", W))
    nodes = [onnx.node("Constant", "", "k", value) for _ in range(3000)]
    (tmp_path / "m.onnx").write_bytes(onnx.model(onnx.graph(nodes)))
    assert len(read_onnx(tmp_path / "m.onnx").tensors) == 3000


def sample() -> bytes:
    """A model with a little of everything."""
    value = onnx.constant("value", onnx.tensor("", W))
    branch = onnx.graph([onnx.node("Constant", "", "k", value), onnx.node("MatMul", "xk", "y")])
    nodes = [
        onnx.node("MatMul", "xw", "h", name="/a/MatMul"),
        onnx.node("DequantizeLinear", "qs", "d", onnx.integer("axis", 0)),
        onnx.node("Transpose", "d", "t", onnx.integers("perm", [1, 0])),
        onnx.node("Gemm", "ht", "i", onnx.integer("transB", 1)),
        onnx.node("LSTM", "ilr", "j"),
        onnx.node("MatMulNBits", "jbe", "m", onnx.integer("K", 4), onnx.integer("N", 3)),
        onnx.node("Reshape", "wp", "o"),
        onnx.node("If", "x", "z", onnx.body("then_branch", branch)),
    ]
    stored = {
        "w": W,
        "q": W.astype(np.int8),
        "s": W[:, 0],
        "l": np.ones((1, 8, 2), np.float32),
        "r": np.ones((1, 8, 2), np.float32),
        "b": np.ones((3, 1, 8), np.uint8),
        "e": W[:, 0],
        "p": np.array([4, 3]),
    }
    tensors = [onnx.tensor(name, values) for name, values in stored.items()]
    tensors.append(
        onnx.described(
            "h16", (2, 2), 10, onnx.message(5, b"".join(map(onnx.varint, (9, 8, 7, 600))))
        )
    )
    tensors.append(onnx.described("ext", (2, 2), 1, onnx.external(location="d", offset=0)))
    return onnx.model(onnx.graph(nodes, tensors))


def test_mutations_are_read_or_refused(tmp_path: Path) -> None:
    data, path = sample(), tmp_path / "m.onnx"
    (tmp_path / "d").write_bytes(bytes(16))
    path.write_bytes(data)
    assert len(read_onnx(path).tensors) > 9
    read = 0
    for seed in range(600):
        rng = random.Random(seed)
        changed = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(changed))
            action = rng.randrange(4)
            if action == 0:
                changed[place] = rng.randrange(256)
            elif action == 1:
                del changed[place : place + rng.randint(1, 9)]
            elif action == 2:
                changed[place:place] = rng.randbytes(rng.randint(1, 9))
            else:
                changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        said = None
        try:
            for tensor in read_onnx(path).tensors.values():
                if tensor.load is not None:
                    assert tensor.values().shape == tensor.shape, seed
            read += 1
        except CheckpointError as error:
            said = str(error)
        assert said is None or (said.startswith(str(path)) and "\n" not in said), seed
    assert read > 50


def test_models_are_recognized_and_nothing_else() -> None:
    assert is_onnx(sample()[:512])
    assert is_onnx(onnx.saved({"w": W})[:512])
    long = onnx.number(1, 8) + onnx.message(2, "pytorch") + onnx.message(6, "d" * 600)
    assert is_onnx((long + onnx.message(7, onnx.graph()))[:512])
    others = {
        "CoreML": onnx.number(1, 7) + onnx.message(2, onnx.message(1, "input" * 200)),
        "SavedModel": onnx.number(1, 1) + onnx.message(2, onnx.message(1, "meta" * 200)),
        "safetensors": (8).to_bytes(8, "little") + b'{"a":{} ',
        "a pickle": b"\x80\x02}q\x00.",
        "zeros": bytes(512),
        "a version": onnx.number(1, 8),
        "a large version": onnx.number(1, 64) + onnx.message(2, "x"),
        "text": b"\x08\x07 text",
        "nothing": b"",
    }
    assert [name for name, head in others.items() if is_onnx(head[:512])] == []
