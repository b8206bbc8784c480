"""What the tests of downloads serve and ask for, and what the cache then holds."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.download import failures
from allennlp_analyze.sources.download.cache import cache_directory, fetch
from tests.support.http_server import HttpServer
from tests.support.waiting import PATIENCE


def isolate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of one's own, no proxy, and little patience."""
    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path / "cache-root"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(failures, "BACKOFF", 0.01)


BODY = np.random.default_rng(1).bytes(300_000)
NAME = "model.tar.gz"


def get(server: HttpServer, path: str = NAME, timeout: float = PATIENCE) -> bytes:
    return fetch(server.url(path), quiet=True, timeout=timeout).read_bytes()


def refusal(url: str, timeout: float = PATIENCE) -> str:
    """The line of the error, which begins with the URL; nothing is cached."""
    with pytest.raises(SourceError) as caught:
        fetch(url, quiet=True, timeout=timeout)
    line = str(caught.value)
    assert line.startswith(f"{url}: ")
    assert "\n" not in line
    assert cached() == []
    return line[len(url) + 2 :]


def cached() -> list[str]:
    """What the cache holds, but for the locks, which stay."""
    directory = cache_directory()
    names = os.listdir(directory) if directory.is_dir() else []
    return sorted(name for name in names if not name.endswith(".lock"))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def zipped_weights() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.eye(30)}, buffer)
    return buffer.getvalue()


def legacy_weights() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.eye(30)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (("config.json", b"{}"), ("weights.th", legacy_weights())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def closed_server() -> HttpServer:
    server = HttpServer()
    server.close()
    return server
