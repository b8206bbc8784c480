"""Addresses that a page may link to: paths beside it and http(s), nothing else."""

import re
from typing import Optional
from urllib.parse import quote

_WEB = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# What has a meaning in a web address, and the percent sign of what is encoded there already.
_WEB_SAFE = "/?#[]@!$&'()*+,;=:%~"


def link_target(text: str) -> Optional[str]:
    """`text` as the value of href: a http(s) address, or a path relative to the page.

    A path is a file's own name, percent-encoded here. None for what is neither: another scheme,
    an absolute path, nothing at all.
    """
    if _WEB.match(text):
        return quote(text, safe=_WEB_SAFE, errors="surrogatepass")
    if not text or text.startswith(("/", "\\")) or _SCHEME.match(text):
        return None
    return quote(text, safe="/", errors="surrogatepass")
