"""Lets a package import its public names on first use."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Callable


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns a `__getattr__` for `package` (PEP 562); `homes` maps each name to its module."""

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return look_up
