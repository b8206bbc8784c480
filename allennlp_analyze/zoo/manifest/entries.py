"""The contents of a manifest: its models in order, each with a name, an archive and options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from allennlp_analyze.zoo.results import ZooRun


@dataclass(frozen=True)
class ZooEntry:
    """One model of a zoo.

    `name` is any unique text. `archive` is a URL or a path relative to the working directory,
    `sha256` the digest of that file in lower case. `options` are the model's own options by field
    name; `options.model_choices` applies them over those of all models. `place` is the file and
    line of the entry, for messages.
    """

    name: str
    archive: str
    group: str = ""
    sha256: Optional[str] = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Manifest:
    """The models of a zoo. `source` is the user's argument, `title` a name for people.

    In a directory, `trainer_files` are the files of trainers that are no models; `unread` lists
    what was found but is not read, each with what it is; `runs` are trainings of which one
    checkpoint is among the entries. `is_listed`: a file names the models.
    """

    title: str
    source: str
    entries: tuple[ZooEntry, ...]
    trainer_files: int = 0
    unread: tuple[str, ...] = ()
    runs: tuple[ZooRun, ...] = ()
    is_listed: bool = False
