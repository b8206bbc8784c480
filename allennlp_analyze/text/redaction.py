"""Removes what is secret in a URL: passwords, signatures and tokens never leave memory."""

import re
from typing import Any

MARK = "..."

# The parameters that say which file is meant, and not who may read it.
_HARMLESS = frozenset(
    (
        *("alt", "branch", "commit", "dl", "download", "export", "format", "generation", "inline"),
        *("md5", "raw", "ref", "rev", "revision", "sha256", "tag", "v", "version", "versionid"),
    )
)
_HARMLESS_VALUE = re.compile(r"[A-Za-z0-9._/-]{0,64}")
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,40}")
_ITEM = re.compile(r"[^&;#]+")
_PATH_ITEM = re.compile(r"(?<=;)[^;/=]*=[^;/]*")
_SCHEME = r"[A-Za-z0-9+.-]{1,20}://+"
_START = re.compile(rf"\s*(?:{_SCHEME}|https?:/*)", re.IGNORECASE)
_NESTED = re.compile(_SCHEME)
# A URL within a text, or the path and query that HTTP libraries name in their errors.
_IN_TEXT = re.compile(rf"(?:{_SCHEME}|https?:/)\S*|(?<![^\s\"'(])/[^\s?]*\?\S+", re.IGNORECASE)
_AFTER = re.compile(r"[\"'`)>\]},.:;!]+$")
_NO_PORT = re.compile(r"([^:\[\]]*|\[[^\]]*\]):(?![0-9]*$)")


def redacted_url(url: str) -> str:
    """Returns `url` without user name and password, and with `MARK` for the values of its query.

    A few parameters that cannot be secret are kept, such as `download` and `revision`. Any other
    text is treated as `redacted` does.
    """
    before = None
    # Without its user name a text may be a URL again.
    while before != url:
        before, url = url, _redacted_url(url)
    return url


def redacted(text: str) -> str:
    """Returns `text` with every URL in it redacted."""
    return _IN_TEXT.sub(_redacted_match, text)


def redacted_in(value: Any) -> Any:
    """Returns a value of JSON types with every text in it redacted."""
    if isinstance(value, str):
        return redacted(value) if "://" in value else value
    if isinstance(value, dict):
        return {key: redacted_in(item) for key, item in value.items()}
    return [redacted_in(item) for item in value] if isinstance(value, list) else value


def _redacted_url(url: str) -> str:
    start = _START.match(url)
    if start is None:
        return redacted(url)
    head, tail = _divided(url[start.end() :])
    return start.group() + _head(head) + _tail(tail)


def _redacted_match(match: "re.Match[str]") -> str:
    token = match.group()
    after = _AFTER.search(token)
    end = len(token) if after is None else after.start()
    if token.startswith(MARK, end):
        end += len(MARK)
    if token.startswith("/"):
        path, query = _divided(token[:end])
        return _head(path) + _tail(query) + token[end:]
    return redacted_url(token[:end]) + token[end:]


def _divided(text: str) -> tuple[str, str]:
    """Returns the part before the query and the fragment, and the rest."""
    end = min((i for i in (text.find("?"), text.find("#")) if i >= 0), default=len(text))
    return text[:end], text[end:]


def _tail(tail: str) -> str:
    """Redacts the query and the fragment, with the mark before them."""
    return tail[:1] + _ITEM.sub(_redacted_item, tail[1:])


def _head(head: str) -> str:
    """Redacts host and path, and the URLs inside the path."""
    first = _without_user(head)
    starts = [match.start() for match in _NESTED.finditer(first)]
    pieces = [first[i:j] for i, j in zip([0, *starts], [*starts, len(first)])]
    rest = [_nested(piece) for piece in pieces[1:]]
    return _PATH_ITEM.sub(_redacted_item, "".join((pieces[0], *rest)))


def _nested(piece: str) -> str:
    start = _NESTED.match(piece)
    return piece if start is None else start.group() + _without_user(piece[start.end() :])


def _without_user(head: str) -> str:
    """Returns a host and a path without the user name and the password before them."""
    slash = head.find("/")
    host = head if slash < 0 else head[:slash]
    path = head[len(host) :]
    if "@" in host:
        return host.rpartition("@")[2] + path
    wrong = _NO_PORT.match(host)
    if wrong is None:
        return head
    # What stands for the port is a password, which may contain a slash.
    return head.rpartition("@")[2] if "@" in head else f"{wrong.group(1)}:{MARK}{path}"


def _redacted_item(match: "re.Match[str]") -> str:
    """Redacts one parameter: `name=value`, or text without a name."""
    name, _, value = match.group().partition("=")
    if name.lower() in _HARMLESS and _HARMLESS_VALUE.fullmatch(value):
        return match.group()
    # Nothing follows the padding of base64, but perhaps the comma of a text.
    is_named = value[:1] not in ("", "=", ",") and _NAME.fullmatch(name) is not None
    return f"{name}={MARK}" if is_named else MARK
