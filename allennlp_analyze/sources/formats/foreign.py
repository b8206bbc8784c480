"""Recognizes other files that users often have in place of an archive or weights."""

from typing import Optional


def describe(head: bytes) -> Optional[str]:
    """Describe a file by its first 512 bytes; returns None if its format is not recognized."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page (the URL may point to a web page, not to the file)"
    if text.startswith(b"<?xml"):
        return "is an XML document (often a storage server's error message)"
    if head.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file itself; run 'git lfs pull' in its repository"
    if head.startswith(b"\x1f\x8b"):
        return "is a gzip file, not a weights file"
    if head[257:262] == b"ustar":
        return "is a tar file"
    return None
