"""Turns a URL or path into a local path; downloads go to AllenNLP's cache."""

import contextlib
import errno
import io
import json
import logging
import os
import re
import stat
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from allennlp_analyze.errors import OutputError, SourceError, UsageError
from allennlp_analyze.options.choices import checked, default
from allennlp_analyze.sources.download.copies import kept, name_of
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.progress import shows_progress
from allennlp_analyze.text.redaction import redacted_in, redacted_url

if TYPE_CHECKING:
    from allennlp_analyze.sources.download.http import HttpClient
    from allennlp_analyze.sources.download.version import Version

SCHEMES = ("http", "https", "s3", "gs", "hf")
MISSING_HUB = "the package cached-path is missing (pip install 'allennlp_analyze[hub]')"
CACHE_ROOT = "ALLENNLP_CACHE_ROOT"
# A partial download that has not grown for a day was killed.
STALE_SECONDS = 24 * 3600

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}\.tmp")  # the names of Python's temporary files

logger = logging.getLogger(__name__)


def is_url(archive: str) -> bool:
    return _SCHEME.match(archive) is not None


def url_of(archive: str) -> Optional[str]:
    """Returns a URL with its scheme in lower case, as the cache knows it; None for a path."""
    match = _SCHEME.match(archive)
    return None if match is None else f"{match.group(1).lower()}{archive[match.end(1) :]}"


def cache_directory() -> Path:
    """The directory where AllenNLP keeps downloads (allennlp.common.file_utils)."""
    root = os.environ.get(CACHE_ROOT)
    return Path(root if root else Path.home() / ".allennlp") / "cache"


def fetch(archive: str, quiet: bool, timeout: float = default("timeout")) -> Path:
    """Returns the local path of `archive`; downloads it unless the cache has it.

    `timeout` is the number of seconds without data after which an HTTP download fails. If the
    server cannot be reached, the copy in the cache is used with a warning. Raises `UsageError` for
    an unsupported scheme, a missing path or an invalid timeout, and `SourceError` if the download
    fails.
    """
    url = url_of(archive)
    if url is None:
        return _local(archive)
    if url.partition("://")[0] not in SCHEMES:
        raise UsageError(
            f"{redacted_url(archive)}: {archive.partition('://')[0]}:// is not supported;"
            f" use a path or {', '.join(SCHEMES)}"
        )
    return _download(archive, url, quiet, checked("timeout", timeout))


def evict(path: Path) -> None:
    """Remove a download from the cache, so that the next run downloads it again.

    A path outside the cache is left alone.
    """
    cache = cache_directory().resolve()
    # The Hub's cache contains links to the actual files.
    for file in (path, path.resolve()):
        if cache in file.parent.resolve().parents or file.parent.resolve() == cache:
            for stale in (file, file.with_name(file.name + ".json")):
                with contextlib.suppress(OSError):
                    stale.unlink()


def _local(archive: str) -> Path:
    path = os.path.expanduser(archive)
    if not os.path.exists(path):  # Path.exists would raise if the name is too long
        named = redacted_url(archive) if archive.strip() else repr(archive)
        raise UsageError(f"{named}: no such file or directory")
    return Path(path)


def _download(archive: str, url: str, quiet: bool, timeout: float) -> Path:
    """Download `url`, which is `archive` with the scheme in lower case, as cached_path expects."""
    quiet, named = not shows_progress(quiet), redacted_url(archive)
    _sweep()
    try:
        if url.startswith("http"):
            path, offline = _over_http(url, quiet, timeout)
        else:
            path, offline = _cached(url, quiet)
    except SourceError as error:
        raise SourceError(f"{named}: {error}") from None
    except Exception as error:  # the clients of s3, gs and hf raise their own classes
        raise SourceError(f"{named}: {reason_of(error, url)}") from None
    _redact_metadata(path)
    if offline:
        logger.warning("%s %s; using the copy in the cache", named, offline)
    return path


def _over_http(url: str, quiet: bool, timeout: float) -> tuple[Path, str]:
    # Importing this takes as long as reading a medium-sized archive.
    from allennlp_analyze.sources.download.failures import DownloadError
    from allennlp_analyze.sources.download.http import ChangedError, HttpClient

    with HttpClient(url, timeout, quiet) as client:
        try:
            version = client.ask()
        except DownloadError as error:
            copy = latest_copy(url) if error.unavailable else None
            if copy is None:
                raise
            return copy, str(error)
        _drop_outdated(url, version)
        try:
            return _cached_over_http(url, client), ""
        except ChangedError:
            client.ask()
            return _cached_over_http(url, client), ""


def _cached_over_http(url: str, client: "HttpClient") -> Path:
    """Returns the path in the cache of the version that the server has; downloads it if missing."""
    return kept(cache_directory(), url, client.version.etag, client.download)


def _cached(url: str, quiet: bool) -> tuple[Path, str]:
    """Returns the path in the cache, and why the network was not used ("" if it was)."""
    notes = _Notes()
    try:
        from cached_path import cached_path
    except ImportError:
        raise SourceError(MISSING_HUB) from None
    # cached_path shows the end of the URL.
    quiet = quiet or redacted_url(url) != url
    # Standard output is for the report, and the clients' own warnings do not help the user.
    output = io.StringIO() if quiet else sys.stderr
    with ONE_AT_A_TIME, contextlib.redirect_stdout(output), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("cached_path").addFilter(notes)
        try:
            path = Path(cached_path(url, cache_dir=cache_directory(), quiet=quiet))
        finally:
            logging.getLogger("cached_path").removeFilter(notes)
    return path, "could not be reached" if notes.offline else ""


# cached_path's clients and logger, and standard output, are shared by the whole process.
ONE_AT_A_TIME = threading.Lock()


def _redact_metadata(path: Path) -> None:
    """Redact the URL beside a copy in the cache, where cached_path or AllenNLP has written it."""
    metadata = path.with_name(f"{path.name}.json")
    with contextlib.suppress(OSError, ValueError, RecursionError, OutputError):
        if path.is_relative_to(cache_directory()):
            found = json.loads(metadata.read_bytes())
            if redacted_in(found) != found:
                write_text(metadata, json.dumps(redacted_in(found)))


def latest_copy(url: str) -> Optional[Path]:
    """Returns the copy of `url` in the cache that was written last, or None."""
    copies = [
        path
        for path in cache_directory().glob(f"{name_of(url)}*")
        if path.suffix not in (".json", ".lock") and path.is_file()
    ]
    return max(copies, key=lambda path: path.stat().st_mtime, default=None)


def copy_of(url: str, version: "Version") -> Optional[Path]:
    """Returns the copy in the cache of this version of the file at an http(s) URL, or None."""
    _drop_outdated(url, version)
    path = cache_directory() / name_of(url, version.etag)
    return path if path.is_file() else None


def _drop_outdated(url: str, version: "Version") -> None:
    """Remove a copy that differs from the server's: cached_path notices only a changed ETag."""
    if version.etag is not None:
        return
    with contextlib.suppress(OSError):
        copy = (cache_directory() / name_of(url)).stat()
        resized = version.size not in (None, 0, copy.st_size)
        if resized or (version.modified or 0) > copy.st_mtime:
            evict(cache_directory() / name_of(url))


def _sweep() -> None:
    """Remove the partial files of killed downloads from the cache."""
    oldest = time.time() - STALE_SECONDS
    with contextlib.suppress(OSError):
        for entry in os.scandir(cache_directory()):
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                stale = stat.S_ISREG(status.st_mode) and status.st_mtime < oldest
                if stale and _TEMPORARY.fullmatch(entry.name):
                    os.unlink(entry.path)


class _Notes(logging.Filter):
    """Hides cached_path's log from the terminal, and records whether it fell back to the cache."""

    offline = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.offline = self.offline or record.levelno >= logging.WARNING
        return False


def status_of(error: BaseException) -> Optional[int]:
    """Returns the status of the HTTP answer that an error of a client has, or None."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def reason_of(error: BaseException, url: str) -> str:
    """Returns in a few words why a download failed."""
    from allennlp_analyze.sources.download.failures import reason_of_status, told

    if type(error).__name__ == "LocalEntryNotFoundError":  # of huggingface_hub
        return "cannot be reached, and the cache has no copy"
    status = status_of(error)
    if status is not None:
        return reason_of_status(status)
    if isinstance(error, OSError) and error.errno in _STORAGE:
        return (
            f"cannot be written to the cache {cache_directory()} ({excerpt(error.strerror)});"
            f" set {CACHE_ROOT} to use another directory"
        )
    if type(error) is FileNotFoundError:  # cached_path's form of a 404
        return reason_of_status(404)
    text = excerpt(error, 2000)
    for sign, meaning in _NETWORK:
        if sign in text:
            return meaning
    return f"cannot be downloaded: {type(error).__name__}{told(error, url, 200)}"


_STORAGE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.EIO,
)
_NETWORK = (
    ("Connection refused", "cannot be reached: connection refused"),
    ("Name or service not known", "cannot be reached: unknown host"),
    ("Temporary failure in name resolution", "cannot be reached: failed to resolve the host name"),
    ("nodename nor servname", "cannot be reached: unknown host"),
    ("Could not connect", "cannot be reached"),
    ("Max retries exceeded", "cannot be reached"),
)
