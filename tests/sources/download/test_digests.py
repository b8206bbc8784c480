"""Downloads and files with a SHA-256 digest that the user gave."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.sources.opening import open_source
from tests.support.downloads import NAME, archive, cached
from tests.support.http_server import File, HttpServer


def test_the_right_digest(server: HttpServer, tmp_path: Path) -> None:
    content = archive()
    server.pages[NAME] = File(content)
    (tmp_path / "local.tar.gz").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    for name in (server.url(NAME), str(tmp_path / "local.tar.gz")):
        for spelt in (expected, expected.upper()):
            with open_source(name, sha256=spelt) as source:
                assert source.sha256 == expected
    assert server.count("GET") == 1


def test_the_wrong_digest(server: HttpServer, tmp_path: Path) -> None:
    content = gzip.compress(b"not even a tar")
    server.pages[NAME] = File(content)
    (tmp_path / "local.tar.gz").write_bytes(content)
    found, wrong = hashlib.sha256(content).hexdigest(), "0" * 64
    for name in (server.url(NAME), str(tmp_path / "local.tar.gz")):
        line = f"{name}: has the SHA-256 digest {found}; expected {wrong}"
        # Weights elsewhere are not even asked for.
        weights = server.url("other.th")
        with (
            pytest.raises(SourceError, match=re.escape(line)),
            open_source(name, weights, sha256=wrong),
        ):
            pass
    assert cached() == []
    assert (tmp_path / "local.tar.gz").exists()
    assert {request.path for request in server.requests} == {NAME}


@pytest.mark.parametrize(
    "sha256", ["abc", "g" * 64, "0" * 63, "0" * 65, "0" * 32 + "\n" + "0" * 32]
)
def test_a_malformed_digest(server: HttpServer, sha256: str) -> None:
    with pytest.raises(UsageError, match="SHA-256"), open_source(server.url(NAME), sha256=sha256):
        pass
    assert server.requests == []


def test_an_empty_digest(server: HttpServer) -> None:
    with pytest.raises(UsageError, match="sha256: '' is empty"), open_source(NAME, sha256=""):
        pass
    assert server.requests == []


def test_a_directory_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="directory"), open_source(str(tmp_path), sha256="0" * 64):
        pass
