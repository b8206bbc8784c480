"""Computes and checks the SHA-256 digests of files."""

import hashlib
from pathlib import Path

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.sources.damaged import DamagedError
from allennlp_analyze.sources.download.cache import evict, is_url
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.text.redaction import redacted_url


def check_sha256(path: Path, archive: str, expected: str) -> None:
    """Raise `DamagedError` if the digest of `path` differs; a download is then evicted."""
    named = redacted_url(archive)
    if path.is_dir():
        raise UsageError(f"{named}: is a directory, which has no SHA-256 digest")
    if not path.is_file():
        raise SourceError(f"{named}: is not a regular file")
    try:
        found = sha256_of(path)
    except OSError as error:
        raise SourceError(f"{named}: cannot be read ({error.strerror})") from None
    if found != expected:
        if is_url(archive):
            evict(path)
        raise DamagedError(f"{named}: has the SHA-256 digest {found}; expected {expected}")


def sha256_of(path: Path) -> str:
    """Returns the digest of a file. Raises `OSError`."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        for chunk in iter(lambda: file.read(2**20), b""):
            digest.update(chunk)
    return digest.hexdigest()
