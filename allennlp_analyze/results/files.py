"""The state of a file that was read, by which a change of it is noticed."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class FileState:
    """A file or directory when it was read; all but `path` are None if there was none.

    Replacing a file changes its inode, writing to it the time of its last change (`ctime_ns`),
    which no program can set back. `is_download` if it is a copy of a URL, kept in a cache, or was
    read from a server: then `path` is the redacted URL, and `version` what the server said of it.
    """

    path: str
    size: Optional[int] = None
    mtime_ns: Optional[int] = None
    ctime_ns: Optional[int] = None
    inode: Optional[int] = None
    is_download: bool = False
    version: Optional[str] = None
