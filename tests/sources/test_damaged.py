"""Archives that are damaged or hostile: one line, and nothing is left."""

import gzip
import hashlib
import tarfile
from pathlib import Path

import pytest
import torch

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.opening import open_source
from tests.support.tar_archives import (
    Member,
    archive,
    config,
    flip,
    good,
    member,
    refused,
    tar,
    weights,
)

pytestmark = pytest.mark.usefixtures("temporary")


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
