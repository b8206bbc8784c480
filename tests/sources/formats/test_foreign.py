"""A file of a format that is not read is named by its contents, with what to do."""

import io
import pickle
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.foreign import FOREIGN, File, describe, recognized
from allennlp_analyze.sources.formats.registry import Safetensors, by_content, read_weights

pytestmark = pytest.mark.newest_python


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 10)
    return buffer.getvalue()


def field(number: int, content: "bytes | int") -> bytes:
    """A field of a protocol buffer, of less than 128 bytes."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


NODE = field(1, b"w") + field(2, b"Const")
NAMED = {
    "GGML": b"tjgg" + bytes(100),
    "llamafile": b"MZqFpD='\n" + bytes(100),
    "TensorFlow Lite": b"\x1c\0\0\0TFL3" + bytes(100),
    "ExecuTorch": b"\x1c\0\0\0ET12" + bytes(100),
    "OpenVINO": b'<?xml version="1.0"?>\n<net name="Model0" version="11"><layers/></net>',
    "TorchServe": zipped("MAR-INF/MANIFEST.json", "model.pt"),
    "scikit-learn": b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x1asklearn.linear_model._base\x94",
    "index of a TensorFlow": bytes(100) + bytes.fromhex("57fb808b247547db"),
    "(.pb)": field(1, 1) + field(2, field(1, b"\x0a\0")),
    "graph of TensorFlow": field(1, NODE) + field(1, NODE),
    "Core ML": field(1, 4) + field(2, field(1, b"\x0a\x01x")) + bytes(50),
    "TensorRT": b"ftrt" + bytes(100),
    "fastText": bytes.fromhex("ba164f2f") + bytes(100),
    "Orbax": bytes.fromhex("0cdb3a2a") + bytes(100),
    "HTML": b"<!DOCTYPE html><html>",
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n",
    "compressed": b"\x28\xb5\x2f\xfd" + bytes(100),
    "JSON": b'{"message": "Not Found"}',
    "text file": b"This is what I trained.\n",
    "zip file": zipped("policy.pth", "data", "system_info.txt"),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("called", ["sha256-1f2e", "model.of.mine"])
def test_a_file_is_named_by_its_contents_whatever_it_is_called(
    tmp_path: Path, name: str, called: str
) -> None:
    (tmp_path / called).write_bytes(NAMED[name])
    assert by_content(NAMED[name][:512]) is None
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / called, called)
    said = str(caught.value)
    assert said.startswith(f"{called}: is ") and name in said and "\n" not in said


@pytest.mark.parametrize("kind", ["model", "optim"])
def test_a_part_of_zero_3_is_named_with_the_command_that_joins_it(
    tmp_path: Path, kind: str
) -> None:
    """torch has written it, and it has tensors: without their values."""
    torch = pytest.importorskip("torch")
    path = tmp_path / f"zero_pp_rank_0_mp_rank_00_{kind}_states.pt"
    torch.save({"module": {"layer.weight": torch.empty(0)}}, path)
    with pytest.raises(CheckpointError, match=r"DeepSpeed ZeRO.*python zero_to_fp32\.py"):
        read_weights(path, str(path))


def test_the_contents_count_more_than_the_ending(tmp_path: Path) -> None:
    for ending in ("safetensors", "bin", "pt"):
        (tmp_path / "w").write_bytes(NAMED["TensorFlow Lite"])
        with pytest.raises(CheckpointError, match="is a TensorFlow Lite model, which is not read;"):
            read_weights(tmp_path / "w", f"https://h/model.{ending}?download=true")


def test_a_file_of_gguf_is_not_taken_for_safetensors() -> None:
    """With 123 tensors its ninth byte is a brace."""
    assert not Safetensors().recognizes(b"GGUF" + struct.pack("<IQQ", 3, 123, 5) + bytes(100))


def test_a_url_with_parameters_has_an_ending(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="is not a valid safetensors file"):
        read_weights(tmp_path / "w", "https://h/m.safetensors?download=true")


def test_a_zip_of_something_else_says_what_to_take_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "agent.zip").write_bytes(NAMED["zip file"])
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "agent.zip", "agent.zip")
    assert "with 3 members (policy.pth, data, " in str(caught.value)
    assert str(caught.value).endswith("unpack it and pass the weights inside")


def test_a_format_with_weights_says_what_to_do() -> None:
    assert all(known.advice for known in FOREIGN if known.has_weights)
    assert all("\n" not in known.described for known in FOREIGN)


def test_what_torch_writes_is_never_foreign(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for zipped_format, protocol in ((True, 2), (False, 2), (False, 4)):
        path = tmp_path / "w"
        torch.save(
            {"a.weight": torch.ones(3, 2), "sklearn": [1]},
            path,
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=zipped_format,
        )
        content = path.read_bytes()
        assert recognized(File(content[:512], "w", path)) is None


def test_a_plain_pickle_is_left_to_the_reader_of_torch() -> None:
    assert describe(pickle.dumps({"w": np.eye(3)})[:512]) is None


def test_any_bytes_are_judged_without_an_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "w"
    for content in (*NAMED.values(), b"", b"\x08", b"\x81\xd9", b"\x0a\xff"):
        for _ in range(60):
            changed = bytearray(content)
            for _ in range(rng.randrange(1, 6)):
                if changed:
                    changed[rng.randrange(len(changed))] = rng.choice((0, 0x7F, 0x80, 0xFF, 10))
            cut = bytes(changed[: rng.randrange(len(changed) + 1)])
            path.write_bytes(cut)
            found = recognized(File(cut[:512], "w", path))
            assert found is None or "\n" not in found.described
