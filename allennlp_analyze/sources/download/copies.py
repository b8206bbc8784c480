"""Keeps downloads in AllenNLP's cache, under the names that cached_path gives them.

AllenNLP finds and uses these copies, so names, locks and metadata are cached_path's
(tests/sources/download/test_cache.py compares them).
"""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Callable, Optional

from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.redaction import redacted_url

_READ_ONLY = (errno.EPERM, errno.EACCES, errno.EROFS)


def name_of(url: str, etag: Optional[str] = None) -> str:
    """Returns the name in the cache: the digest of `url`, and that of the version's ETag."""
    parts = [url] if not etag else [url, etag]
    return ".".join(hashlib.sha256(part.encode()).hexdigest() for part in parts)


def kept(
    directory: Path, url: str, etag: Optional[str], download: Callable[[IO[bytes]], None]
) -> Path:
    """Returns the path of a version in the cache; calls `download` with a file if it is missing.

    Other processes wait meanwhile. The URL in the metadata is redacted. Raises `OSError`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name_of(url, etag)
    with _locked(path.with_name(f"{path.name}.lock")):
        if not path.exists():
            with _written(path) as file:
                download(file)
            _describe(path, url, etag)
    return path


@contextlib.contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Hold the lock. In a cache that others have filled and that is read-only, go without."""
    from filelock import FileLock

    held = FileLock(str(lock))
    try:
        held.acquire()
    except OSError as error:
        if error.errno not in _READ_ONLY or not lock.is_file():
            raise
    try:
        yield
    finally:
        held.release()


@contextlib.contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that becomes `path` if nothing fails, and is removed otherwise."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
            raise
    os.replace(file.name, path)


def _describe(path: Path, url: str, etag: Optional[str]) -> None:
    about = {
        "resource": redacted_url(url),
        "cached_path": str(path),
        "creation_time": time.time(),
        "size": path.stat().st_size,
        "etag": etag,
        "extraction_dir": False,
    }
    write_text(path.with_name(f"{path.name}.json"), json.dumps(about))
