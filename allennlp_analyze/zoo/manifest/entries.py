"""What a manifest says: its models in order, each with a name, an archive and options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional


@dataclass(frozen=True)
class ZooEntry:
    """One model of a zoo.

    `name` is any text, and no other model's. `archive` is a URL or a path from the working
    directory, `sha256` the digest of that file in lower case. `options` holds by field name what
    `zoo_options.unit_request` lays over the choices that all models share. `place` says where this
    was written, for messages.
    """

    name: str
    archive: str
    group: str = ""
    sha256: Optional[str] = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Manifest:
    """The models of a zoo. `source` is what the user called it, `title` a name for people."""

    title: str
    source: str
    entries: tuple[ZooEntry, ...]
