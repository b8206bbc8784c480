"""Archives written member by member, whole or damaged."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import pytest
import torch

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.opening import open_source

Member = tuple[tarfile.TarInfo, bytes]
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


def good(tmp_path: Path) -> bytes:
    members = (config(), member("weights.th", weights()), member("vocabulary/a.txt", b"x\n"))
    return Path(archive(tmp_path, *members)).read_bytes()


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
