"""Lets a package import its public names on first use."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Callable


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` for `package` (PEP 562).

    `homes` maps each name to its module. `dir` shows `__all__` alone, without the submodules that
    are attributes of the package once something has imported them.
    """

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return look_up, lambda: sorted(sys.modules[package].__all__)
