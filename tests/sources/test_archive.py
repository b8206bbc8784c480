"""Archives, serialization directories and weights files opened by `open_source`."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Optional

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import CheckpointError, SourceError, UsageError
from allennlp_analyze.sources.archive import count_lines
from allennlp_analyze.sources.opening import open_source
from tests.conftest import Corpus, corpus_names

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(autouse=True)
def temporary(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A place for temporary files that no other test sees; nothing may be left there."""
    directory = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    assert list(directory.iterdir()) == []


CONFIG = {"model": {"type": "tagger"}}


def weights(value: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.full((3, 2), value)}, buffer)
    return buffer.getvalue()


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


def tar(members: Iterable[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def config(text: Optional[str] = None) -> Member:
    return member("config.json", (text or json.dumps(CONFIG)).encode())


def archive(tmp_path: Path, *members: Member) -> str:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzip.compress(tar(members)))
    return str(path)


def refused(name: str, weights_file: Optional[str] = None) -> str:
    """The message of the one `SourceError` that opening `name` raises."""
    with pytest.raises(SourceError) as caught, open_source(name, weights_file):
        pass
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", corpus_names())
def test_corpus(corpus: Corpus, name: str, tmp_path: Path) -> None:
    path, oracle = corpus.path(name), corpus.oracle[name]
    with tarfile.open(path) as tar_file:
        tar_file.extractall(tmp_path)
    with open_source(str(path)) as source:
        assert {n: list(t.shape) for n, t in source.tensors.items()} == oracle["parameters"]
        assert source.sha256 == oracle["sha256"]
        vocabulary = {
            file.stem: len(file.read_text(encoding="utf-8").split("\n")[:-1])
            for file in (tmp_path / "vocabulary").glob("*.txt")
        }
        non_padded = vocabulary.pop("non_padded_namespaces", None)
        assert dict(source.vocabulary) == vocabulary
        assert len(source.non_padded) == (non_padded or 0)
        assert source.config == json.loads((tmp_path / "config.json").read_text())
        assert source.warnings == ()
    with open_source(str(tmp_path)) as directory:
        assert list(directory.tensors) == list(source.tensors)
        assert directory.vocabulary == source.vocabulary
        assert directory.sha256 is None


def test_members_with_and_without_dot(tmp_path: Path) -> None:
    name = archive(
        tmp_path,
        member("./", kind=tarfile.DIRTYPE),
        member("./config.json", json.dumps(CONFIG).encode()),
        member("./weights.th", weights()),
        member("./vocabulary/tokens.txt", b"@@UNKNOWN@@\nthe\n\xc2\x85\n"),
        member("./vocabulary/labels.txt", b"A\r\nB"),
        member("./vocabulary/non_padded_namespaces.txt", b"*tags\n*labels\n"),
        member("./vocabulary/.lock"),
        member("vocabulary/deep/er.txt", b"x\n"),
        member("fta/pickled", b"x"),
    )
    with open_source(name) as source:
        assert dict(source.vocabulary) == {"tokens": 3, "labels": 2}
        assert source.non_padded == ("*tags", "*labels")
        assert source.model_type == "tagger"
        assert source.weights_file == "weights.th"
        assert source.sha256 == hashlib.sha256(Path(name).read_bytes()).hexdigest()
        assert source.tensors["w"].values().tolist() == [[1.0, 1.0]] * 3


def test_values_outlive_the_temporary_directory(tmp_path: Path) -> None:
    with open_source(archive(tmp_path, config(), member("weights.th", weights()))) as source:
        tensor = source.tensors["w"]
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    assert tensor.values().sum() == 6


@given(st.text("ab\r\n\u2028\x85", max_size=30), st.integers(1, 5))
def test_lines_are_counted_as_allennlp_does(text: str, size: int) -> None:
    import re

    lines = re.split(r"\n|\r\n", text)  # allennlp.data.vocabulary.Vocabulary.set_from_file
    expected = len(lines[:-1] if lines[-1] == "" else lines)
    data = text.encode()
    assert count_lines(iter([data[i : i + size] for i in range(0, len(data), size)])) == expected


def test_weights_file_by_member_by_path_and_missing(tmp_path: Path) -> None:
    name = archive(
        tmp_path, config(), member("weights.th", weights()), member("best.th", weights(2.0))
    )
    with open_source(name, "best.th") as source:
        assert source.tensors["w"].values().max() == 2.0
        assert source.weights_file == "best.th"
    outside = tmp_path / "other.th"
    outside.write_bytes(weights(3.0))
    with open_source(name, str(outside)) as source:
        assert source.tensors["w"].values().max() == 3.0
        assert source.model_type == "tagger"
    message = refused(name, "none.th")
    assert "weights.th" in message
    assert "best.th" in message


def test_a_single_weights_member_of_another_name(tmp_path: Path) -> None:
    with open_source(archive(tmp_path, config(), member("m.pt", weights()))) as source:
        assert source.weights_file == "m.pt"
        assert list(source.tensors) == ["w"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "config.json is missing"),
        ('{"model": {}, // comment\n}', "not plain JSON"),
        ("[1]", "is not a JSON object"),
        ("[" * 100_000, "not plain JSON"),
        ("local x = import '/etc/passwd'; {}", "not plain JSON"),
    ],
)
def test_config_that_is_missing_or_not_json(
    tmp_path: Path, text: Optional[str], words: str
) -> None:
    members = [] if text is None else [config(text)]
    with open_source(archive(tmp_path, *members, member("weights.th", weights()))) as source:
        assert source.config == {}
        assert source.model_type is None
        assert words in source.warnings[0]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([config()], "contains no weights"),
        ([config(), member("a.th", weights()), member("b.th", weights())], "a.th, b.th"),
        ([config(), config(), member("weights.th", weights())], "config.json twice"),
        ([member("weights.th", weights()), member("./weights.th", weights())], "twice"),
        ([member("weights.th", kind=tarfile.SYMTYPE, link="/etc/passwd")], "a link to /etc"),
        ([member("weights.th", kind=tarfile.LNKTYPE, link="x")], "a link"),
        ([member("weights.th", kind=tarfile.FIFOTYPE)], "device or pipe"),
        ([member("weights.th", kind=tarfile.DIRTYPE)], "a directory"),
        ([config(), member("../weights.th", weights())], "contains no weights"),
        ([config(), member("/weights.th", weights())], "contains no weights"),
        ([config(), member("weights.th", b"junk, not weights")], "weights.th: is not"),
    ],
)
def test_archives_that_are_refused(tmp_path: Path, members: list[Member], words: str) -> None:
    assert words in refused(archive(tmp_path, *members))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.tar.gz"]


def good(tmp_path: Path) -> bytes:
    members = (config(), member("weights.th", weights()), member("vocabulary/a.txt", b"x\n"))
    return Path(archive(tmp_path, *members)).read_bytes()


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: b"<html>404</html>", "HTML page"),
        (lambda data: b"something else", "not a gzip archive"),
        (lambda data: gzip.decompress(data), "tar file"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[:-4], "truncated"),
        (lambda data: data[:-8], "truncated"),
        (lambda data: flip(data, len(data) - 6), "damaged"),
        (lambda data: flip(data, len(data) - 2), "damaged"),
        (lambda data: gzip.compress(b"no tar at all"), "no tar"),
        (lambda data: gzip.compress(b""), "no tar"),
        (lambda data: gzip.compress(gzip.decompress(data)[:2000]), "truncated|damaged tar"),
    ],
)
def test_damaged_files(tmp_path: Path, spoil: object, words: str) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(spoil(good(tmp_path)))  # type: ignore[operator]
    message = refused(str(path))
    assert any(word in message for word in words.split("|")), message


def test_a_flipped_stored_byte_is_found_by_the_checksum(tmp_path: Path) -> None:
    members = (config(), member("weights.th", weights()))
    stored = bytearray(gzip.compress(tar(members), compresslevel=0))
    at = stored.index(torch.full((3, 2), 1.0).numpy().tobytes())
    path = tmp_path / "model.tar.gz"
    path.write_bytes(flip(bytes(stored), at))
    assert "damaged" in refused(str(path))


@pytest.mark.parametrize("tail", [b"junk", b"\0" * 100 + b"junk"])
def test_trailing_junk_is_a_warning(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(good(tmp_path) + tail)
    with open_source(str(path)) as source:
        assert "junk" in source.warnings[0]
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_padding_and_several_gzip_members_are_fine(tmp_path: Path) -> None:
    data = tar((config(), member("weights.th", weights())))
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(1000))
    with open_source(str(path)) as source:
        assert source.warnings == ()
        assert list(source.tensors) == ["w"]


def raw_header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar header whose size field is written as it is given."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


NEGATIVE = b"\xff" * 11 + b"\x00"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (raw_header("weights.th", NEGATIVE) + bytes(2048), "negative|follow one another"),
        (raw_header("other", NEGATIVE) + bytes(2048), "negative|follow one another"),
        (raw_header("x", b"%011o\0" % 2**31, b"x") + bytes(4096), "tar headers"),
        (raw_header("x", b"%011o\0" % 2**31, b"L") + bytes(4096), "tar headers"),
        (raw_header("x", b"%011o\0" % 512, b"x") * 4000, "damaged tar|tar headers|no tar"),
        (raw_header("weights.th", b"%011o\0" % 2**40) + bytes(4096), "truncated"),
    ],
)
def test_hostile_tar_headers(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzip.compress(data))
    message = refused(str(path))
    assert any(word in message for word in words.split("|")), message


def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    name = archive(tmp_path, config(), member("weights.th", bytes(2**22)))
    with (
        pytest.raises(SourceError, match="unpacks to more than"),
        open_source(name, max_unpacked_size=2**21),
    ):
        pass


def test_serialization_directory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "tokens.txt").write_text("a\nb\n")
    archive(tmp_path, config(), member("weights.th", weights(5.0)))
    with open_source(str(tmp_path)) as source:
        assert source.tensors["w"].values().max() == 5.0
    for value, name in [(4.0, "other.bin"), (3.0, "best.th"), (2.0, "weights.th")]:
        (tmp_path / name).write_bytes(weights(value))
        with open_source(str(tmp_path)) as source:
            assert source.tensors["w"].values().max() == value
            assert source.weights_file == str(tmp_path / name)
            assert dict(source.vocabulary) == {"tokens": 2}
    with open_source(str(tmp_path), "best.th") as source:
        assert source.tensors["w"].values().max() == 3.0


def test_directory_whose_weights_are_ambiguous_or_missing(tmp_path: Path) -> None:
    assert "contains no weights" in refused(str(tmp_path))
    os.mkfifo(tmp_path / "weights.th")
    assert "contains no weights" in refused(str(tmp_path))
    for name in ("model_state_epoch_0.th", "model_state_epoch_1.th"):
        (tmp_path / name).write_bytes(weights())
    assert "model_state_epoch_0.th, model_state_epoch_1.th" in refused(str(tmp_path))


@pytest.mark.parametrize("suffix", [".th", ".pt", ".pth", ".bin", ".safetensors", ""])
def test_bare_weights_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({"w": torch.ones(3, 2)}, str(path))
    else:
        path.write_bytes(weights())
    with open_source(str(path)) as source:
        assert source.tensors["w"].values().sum() == 6
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert source.config == {}
    assert "--weights-file" in refused(str(path), "best.th")


def test_bare_file_that_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.th").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"m\.th"), open_source(str(tmp_path / "m.th")):
        pass


@pytest.mark.parametrize(
    "name", ["", "no/such/model.tar.gz", "ftp://host/model.tar.gz", "file:///x"]
)
def test_usage_errors(name: str) -> None:
    with pytest.raises(UsageError), open_source(name):
        pass
