"""Restricts the links of a page to relative paths and http(s) URLs, and finds paths in URLs."""

import re
from typing import Optional
from urllib.parse import quote

_WEB = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Characters with a meaning in a URL, and the percent sign of characters already encoded.
_WEB_SAFE = "/?#[]@!$&'()*+,;=:%~"


def url_path(url: str) -> str:
    """Returns the path in a URL of any scheme, without the parameters at its end."""
    _, _, rest = url.partition("://")
    path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")[2]
    folder, slash, name = path.rpartition("/")
    return f"/{folder}{slash}{name.partition(';')[0]}"


def link_target(text: str) -> Optional[str]:
    """Returns `text` as the value of href: an http(s) URL, or a path relative to the page.

    A path is percent-encoded here. Returns None for anything else: another scheme, an absolute path
    or an empty text.
    """
    if _WEB.match(text):
        return quote(text, safe=_WEB_SAFE, errors="surrogatepass")
    if not text or text.startswith(("/", "\\")) or _SCHEME.match(text):
        return None
    return quote(text, safe="/", errors="surrogatepass")
