"""A URL or a local path made into a local path; downloads share AllenNLP's cache."""

import contextlib
import logging
import os
import re
import sys
import warnings
from pathlib import Path

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.sources.described import printable

SCHEMES = ("http", "https", "s3", "gs", "hf")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_REFUSALS = {401: "access denied", 403: "access denied", 404: "not found"}

logger = logging.getLogger(__name__)


def is_url(archive: str) -> bool:
    return _SCHEME.match(archive) is not None


def cache_directory() -> Path:
    """Where AllenNLP keeps downloads (allennlp.common.file_utils)."""
    root = os.environ.get("ALLENNLP_CACHE_ROOT")
    return Path(root if root else Path.home() / ".allennlp") / "cache"


def fetch(archive: str, quiet: bool) -> Path:
    """The local file or directory that `archive` names, downloaded unless it is in the cache.

    Raises `UsageError` for a scheme that is not known or a path that is not there, `SourceError`
    for a download that fails.
    """
    match = _SCHEME.match(archive)
    if match is None:
        return _local(archive)
    if match.group(1).lower() not in SCHEMES:
        raise UsageError(
            f"{archive}: {match.group(1)}:// is not supported; use a path or {', '.join(SCHEMES)}"
        )
    return _download(archive, quiet)


def evict(path: Path) -> None:
    """Remove a download from the cache, so that the next run downloads it again.

    Does nothing to a path outside the cache.
    """
    cache = cache_directory().resolve()
    # The Hub's cache holds links to the files proper.
    for file in (path, path.resolve()):
        if cache in file.parent.resolve().parents or file.parent.resolve() == cache:
            for stale in (file, file.with_name(file.name + ".json")):
                with contextlib.suppress(OSError):
                    stale.unlink()


def _local(archive: str) -> Path:
    path = Path(archive).expanduser() if archive else None
    if path is None or not path.exists():
        raise UsageError(f"{archive or 'the archive'}: no such file or directory")
    return path


def _download(url: str, quiet: bool) -> Path:
    notes = _Notes()
    logging.getLogger("cached_path").addFilter(notes)
    try:
        # Standard output belongs to the report; the clients' own warnings help no user.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from cached_path import cached_path

            path = Path(cached_path(url, cache_dir=cache_directory(), quiet=quiet))
    except Exception as error:  # the clients of s3, gs and hf raise classes of their own
        raise SourceError(f"{url}: {_reason(error)}") from None
    finally:
        logging.getLogger("cached_path").removeFilter(notes)
    if notes.offline:
        logger.warning("%s could not be reached; using the copy in the cache", url)
    return path


class _Notes(logging.Filter):
    """Keeps what cached_path logs off the terminal; remembers that it had to do without network."""

    offline = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.offline = self.offline or record.levelno >= logging.WARNING
        return False


def _reason(error: BaseException) -> str:
    """Why a download failed, in a few words."""
    if type(error).__name__ == "LocalEntryNotFoundError":  # of huggingface_hub
        return "cannot be reached, and there is no copy in the cache"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return f"{_REFUSALS.get(status, 'the server refuses')} (status {status})"
    if type(error) is FileNotFoundError:  # as cached_path says 404
        return "not found (status 404)"
    text = printable(error, 2000)
    for sign, meaning in _NETWORK:
        if sign in text:
            return meaning
    return f"cannot be downloaded ({printable(f'{type(error).__name__}: {error}', 200)})"


_NETWORK = (
    ("Connection refused", "cannot be reached: connection refused"),
    ("Name or service not known", "cannot be reached: there is no host of that name"),
    ("Temporary failure in name resolution", "cannot be reached: its host's name is not resolved"),
    ("nodename nor servname", "cannot be reached: there is no host of that name"),
    ("Could not connect", "cannot be reached"),
    ("Max retries exceeded", "cannot be reached"),
)
