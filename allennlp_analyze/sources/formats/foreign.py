"""Files often found in place of an archive or weights, named so that the user can act."""

from typing import Optional


def describe(head: bytes) -> Optional[str]:
    """What a file is by its first 512 bytes; None when it is nothing well known."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page (the address may lead to a web page, not to the file)"
    if text.startswith(b"<?xml"):
        return "is an XML document (often a storage server's error message)"
    if head.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file itself; run 'git lfs pull' in its repository"
    if head.startswith(b"\x1f\x8b"):
        return "is a gzip file, not a weights file"
    if head[257:262] == b"ustar":
        return "is a tar file"
    if head.startswith(b"\x89HDF\r\n"):
        return "is an HDF5 file, which AllenNLP does not write"
    return None
