"""The header of a GGUF file: what it says, and that no file makes it read for long or far."""

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.sources.formats.gguf import header as gguf_header
from allennlp_analyze.sources.formats.gguf.header import MAX_STRINGS, read_header
from allennlp_analyze.sources.formats.gguf.reading import read_gguf
from allennlp_analyze.sources.stored_file import LocalFile
from allennlp_analyze.sources.views import MAX_TENSORS
from tests.support.gguf_files import (
    ARRAY,
    F32,
    Q8_0,
    STRING,
    UINT32,
    array,
    float32,
    gguf,
    info,
    string,
    text,
    uint32,
    written,
)

pytestmark = pytest.mark.newest_python
MATRIX = np.arange(6.0).reshape(2, 3)
ONE = [float32("a.weight", MATRIX)]


def refused(path: Path) -> str:
    """The message of a file that must be refused, quickly and with little memory."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            read_gguf(path, "m.gguf")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 5
    message = str(caught.value)
    assert message.startswith("m.gguf: ") and message.isprintable() and len(message) < 300
    return message


def test_numbers_texts_and_short_arrays_are_kept(tmp_path: Path) -> None:
    numbers = {
        0: ("<B", 200),
        1: ("<b", -2),
        2: ("<H", 60_000),
        3: ("<h", -5),
        4: ("<I", 2**31),
        5: ("<i", -7),
        6: ("<f", 0.5),
        7: ("<?", True),
        10: ("<Q", 2**63),
        11: ("<q", -(2**62)),
        12: ("<d", 1e300),
    }
    values = [
        text(f"number.{kind}") + struct.pack("<I", kind) + struct.pack(code, number)
        for kind, (code, number) in numbers.items()
    ]
    values += [
        string("short", "é"),
        string("long", "x" * 5000),
        array("heads", UINT32, 2, struct.pack("<2I", 3, 4)),
        array("vocabulary", STRING, 10_000, text("token") * 10_000),
        array("words", STRING, 2, text("a") + text("b")),
        array("nested", ARRAY, 2, struct.pack("<IQI", UINT32, 1, 5) * 2),
        array("last", UINT32, 1, struct.pack("<I", 9)),
    ]
    header = read_header(LocalFile(written(tmp_path / "m", ONE, values)))
    expected = {f"number.{kind}": number for kind, (_, number) in numbers.items()}
    expected |= {"short": "é", "heads": (3, 4), "words": ("a", "b"), "last": (9,)}
    assert header.values == expected
    assert [(t.name, t.shape) for t in header.tensors] == [("a.weight", (2, 3))]


@pytest.mark.parametrize("alignment", [8, 32, 4096])
@pytest.mark.parametrize("version", [2, 3])
def test_alignment_and_version(tmp_path: Path, alignment: int, version: int) -> None:
    path = written(
        tmp_path / "m",
        [*ONE, float32("b.weight", MATRIX + 1)],
        [uint32("general.alignment", alignment)],
        alignment=alignment,
        version=version,
    )
    tensors = read_gguf(path, "m").tensors
    assert np.array_equal(tensors["a.weight"].values(), MATRIX)
    assert np.array_equal(tensors["b.weight"].values(), MATRIX + 1)


BIG = 2**63
WRONG = {
    "version 1 of GGUF": gguf(version=1),
    "version 4 of GGUF": gguf(version=4),
    "big-endian": b"GGUF" + struct.pack(">I", 3) + bytes(16),
    "is truncated: .* header": b"GGUF\x03\0\0",
    "more than 200000 tensors": gguf(count=BIG),
    "is truncated: 100000 tensors": gguf(count=100_000),
    "more than 65536 keys": gguf(keys=BIG),
    "name of a key has 1152921504606846976 bytes": gguf([struct.pack("<Q", 2**60)]) + bytes(99),
    "name of a tensor has": gguf(infos=[struct.pack("<Q", 2**40)]) + bytes(99),
    "header goes on for 1152921504606846976": gguf([text("k") + struct.pack("<IQ", STRING, 2**60)]),
    "header goes on for 4611686018427387904": gguf([array("k", UINT32, 2**60, b"")]),
    f"arrays of more than {MAX_STRINGS} texts": gguf([array("k", STRING, 2**60, bytes(80))]),
    "nested more than": gguf([array("k", ARRAY, 1, struct.pack("<IQ", ARRAY, 1) * 50)]),
    "value of type 77": gguf([text("k") + struct.pack("<II", 77, 0)]),
    "the key k twice": gguf([uint32("k", 1), uint32("k", 1)]),
    "the key a\\?b": gguf([uint32("a\nb", 1), uint32("a\nb", 1)]),
    "key is not UTF-8": gguf([struct.pack("<Q", 2) + b"\xff\xfe" + struct.pack("<II", 4, 1)]),
    "tensor a.weight twice": gguf(tensors=[*ONE, *ONE]),
    "a.weight has 5 dimensions": gguf(infos=[info("a.weight", (1,) * 5, F32, 0)]),
    "a.weight has 4294967295 dim": gguf(infos=[text("a.weight") + b"\xff" * 40]),
    "no multiple of the alignment": gguf(tensors=ONE, offsets=[4]),
    "truncated: tensor a.weight of 24": gguf(tensors=ONE, offsets=[2**63]),
    "truncated: tensor a.weight of \\d{37}\\.\\.\\.": gguf(
        infos=[info("a.weight", (2**63,) * 3, F32, 0)]
    ),
    "tensors a.weight and b overlap": gguf(tensors=[*ONE, float32("b", MATRIX)], offsets=[0, 0]),
    "rows of 33 numbers, no multiple of the 32": gguf(tensors=[("a", (2, 33), Q8_0, bytes(68))]),
    "alignment 0;": gguf([uint32("general.alignment", 0)], ONE),
    "alignment 24;": gguf([uint32("general.alignment", 24)], ONE),
    "alignment 2147483648;": gguf([uint32("general.alignment", 2**31)], ONE),
    "alignment x;": gguf([string("general.alignment", "x")], ONE),
    "one of 3 parts of a split file": gguf([uint32("split.count", 3)], ONE),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_files_are_refused_in_one_line(tmp_path: Path, message: str) -> None:
    import re

    (tmp_path / "m").write_bytes(WRONG[message])
    assert re.search(message, refused(tmp_path / "m"))


def test_more_texts_than_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted over all arrays; of four million reading takes ten seconds."""
    monkeypatch.setattr(gguf_header, "MAX_STRINGS", 4_000)
    for each in (999, 1_001):
        values = [array(f"k{i}", STRING, each, bytes(8 * each)) for i in range(4)]
        path = written(tmp_path / "m", ONE, values)
        if 4 * each < 4_000:
            assert read_gguf(path, "m.gguf").tensors
            continue
        with pytest.raises(CheckpointError, match="more than 4000 texts"):
            read_gguf(path, "m.gguf")


def test_more_tensors_than_the_limit_are_refused(tmp_path: Path) -> None:
    infos = [info(f"w{i}", (1,), F32, 0) for i in range(MAX_TENSORS + 1)]
    (tmp_path / "m").write_bytes(gguf(infos=infos))
    assert f"more than {MAX_TENSORS} tensors" in refused(tmp_path / "m")


@pytest.mark.parametrize("content", [b"", b"GG", b"GGUF"])
def test_a_cut_magic(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(CheckpointError, match="^m.gguf: is t"):
        read_gguf(tmp_path / "m", "m.gguf")


def test_a_directory_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="^m: cannot be read"):
        read_gguf(tmp_path, "m")
    with pytest.raises(CheckpointError, match="^m: cannot be read"):
        read_gguf(tmp_path / "none", "m")


def right_file() -> bytes:
    values = [
        string("general.architecture", "llama"),
        uint32("llama.attention.head_count", 2),
        array("tokens", STRING, 3, text("a") + text("bc") + text("\x1b[0m")),
    ]
    blocks = np.full((4, 34), 60, np.uint8).tobytes()
    stack = np.arange(24.0).reshape(2, 4, 3)
    tensors = [
        *ONE,
        ("blk.0.attn_q.weight", (2, 64), Q8_0, blocks),
        float32("blk.0.ffn_up_exps.weight", stack),
    ]
    return gguf(values, tensors)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from([0, 1, 8, 9, 127, 128, 255])),
        min_size=1,
        max_size=6,
    ),
    cut=st.none() | st.integers(0, 1200),
)
def test_changed_bytes_are_read_or_refused(
    tmp_path: Path, changes: list[tuple[int, int]], cut: "int | None"
) -> None:
    content = bytearray(right_file())
    for place, value in changes:
        content[place % len(content)] = value
    (tmp_path / "m").write_bytes(content[:cut])
    try:
        weights = read_gguf(tmp_path / "m", "m")
        for tensor in weights.tensors.values():
            if tensor.load is not None and 0 not in tensor.shape:
                assert tensor.values().shape == tensor.shape
    except (CheckpointError, TensorError):
        pass
