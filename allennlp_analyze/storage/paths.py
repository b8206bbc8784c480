"""Makes paths independent of the directory in which a process works."""

import os
from typing import Optional, TypeVar

Text = TypeVar("Text", str, Optional[str])


def absolute(path: Text) -> Text:
    """Returns the absolute path of an existing file; other text may be a URL or a name."""
    if path is None or not os.path.exists(os.path.expanduser(path)):
        return path
    return os.path.abspath(os.path.expanduser(path))
