"""Chooses by their names the files of a repository that one model needs, to download only these.

The rule is the one for directories (`choosing.choose`), so that `hf://org/name` and its files on
disk are the same model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from allennlp_analyze.errors import Advice, SourceError
from allennlp_analyze.sources.archive import CONFIG
from allennlp_analyze.sources.directories.choosing import choose
from allennlp_analyze.sources.directories.contents import ADAPTER_CONFIG, ARCHIVE, Listing
from allennlp_analyze.sources.directories.judging import AMBIGUOUS, is_part
from allennlp_analyze.sources.directories.layouts import (
    MODULES,
    PIPELINE,
    is_plain,
    listed_modules,
    listed_parts,
    natural,
)
from allennlp_analyze.sources.directories.trainers import is_trainers_name
from allennlp_analyze.sources.formats.gguf.splits import parts_of
from allennlp_analyze.sources.formats.registry import DISTRIBUTED_METADATA, WEIGHTS_ENDINGS
from allennlp_analyze.sources.formats.sharded import is_index, places_of
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.lists import enumerated

MAX_NAMES = 200_000
_MAX_LISTED = 20
_BESIDE = (CONFIG, ADAPTER_CONFIG)
# Downloads a file of the repository, and returns its path.
Get = Callable[[str], Path]
# Tells the user which rule is taken, before much is downloaded.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Chosen:
    """What was downloaded: the weights files, the part of the repository, and what to say of it.

    `part` is None for the whole repository, or the path of a directory or file. `weights_file` is
    the one chosen of several in one directory.
    """

    weights: tuple[Path, ...] = ()
    part: Optional[str] = None
    weights_file: Optional[str] = None
    warnings: tuple[str, ...] = ()


class Repository:
    """The names of a repository's files, and a way to download one."""

    def __init__(self, names: Sequence[str], get: Get, tell: Tell) -> None:
        self._names = sorted(name for name in names[:MAX_NAMES] if is_plain(name))
        self._folders: dict[str, list[str]] = {}
        for name in self._names:
            folder, _, last = name.rpartition("/")
            self._folders.setdefault(folder, []).append(last)
        self._get = get
        self._tell = tell
        self._got: list[Path] = []
        self._warnings: list[str] = []

    def choose(
        self, part: Optional[str], weights_file: Optional[str], is_outside: bool = False
    ) -> Chosen:
        """Download what the model needs: its weights and what describes them.

        `part` and `weights_file` are the user's choice; `is_outside` says that the weights are not
        in the repository. Raises `SourceError`, without the name of the repository.
        """
        wanted = weights_file
        if part is not None:
            part = part.strip("/")
            if part in self._names:
                return self._file(part)
            if part not in self._folders:
                listed = enumerated(self._models() or ["none"], _MAX_LISTED)
                raise SourceError(f"contains no model {excerpt(part)!r}; it contains: {listed}")
        folder = part or ""
        here = self._folders.get(folder, [])
        if is_outside:
            self._describe(folder)
            return Chosen(part=part)
        index = next((x for x in (PIPELINE, MODULES) if x in here), None)
        if index is not None and wanted is None:
            return self._several(folder, index, part)
        listing = self._listing(folder)
        if listing.is_empty:
            if ARCHIVE in here:
                self._get(_joined(folder, ARCHIVE))
                return Chosen(part=part)
            if part is None and wanted is None:
                return self._below()
        return self._chosen(part, self._one(folder, wanted))

    def _chosen(self, part: Optional[str], weights_file: Optional[str] = None) -> Chosen:
        return Chosen(tuple(self._got), part, weights_file, tuple(self._warnings))

    def _say(self, line: str) -> None:
        self._warnings.append(line)
        self._tell(line)

    def _file(self, name: str) -> Chosen:
        folder, _, last = name.rpartition("/")
        self._describe(folder)
        self._weights(folder, last)
        return self._chosen(name)

    def _several(self, folder: str, index: str, part: Optional[str]) -> Chosen:
        """Download the models that an index lists, each with the weights of its own choice."""
        path = self._get(_joined(folder, index))
        if index == PIPELINE:
            listed = listed_parts(path)
            self._describe(folder)
        else:
            listed = ["", *filter(None, listed_modules(path))]
        for name in listed:
            inner = _joined(folder, name)
            listing = self._listing(inner)
            if not listing.is_empty:
                self._one(inner, None, f"{name}: " if name else "")
            elif inner in self._folders:
                self._describe(inner)
        return self._chosen(part)

    def _below(self) -> Chosen:
        """Download the only model below the top, or say what there is."""
        models = self._models()
        if len(models) == 1:
            self._say(f"holds no weights itself; {models[0]} below it is read")
            return self._chosen(models[0], self._one(models[0], None))
        if not models:
            some = enumerated([excerpt(name, 60) for name in self._names], 8) or "no files"
            raise SourceError(f"contains no weights file of a known format, but {some}")
        raise SourceError(
            f"contains no weights itself, but {len(models)} models below"
            f" ({enumerated(models, _MAX_LISTED)})",
            Advice("part", "choose one with {}"),
        )

    def _models(self) -> list[str]:
        found = (x for x in self._folders if x and not self._listing(x).is_empty)
        return sorted(found, key=natural)

    def _listing(self, folder: str) -> Listing:
        """What `contents.list_weights` would find; the names are all that is known."""
        names = self._folders.get(folder, [])
        here = set(names)
        known = [
            name
            for name in names
            if name.lower().endswith(WEIGHTS_ENDINGS)
            and not name.startswith(".")
            and not is_trainers_name(name)
            and not is_part(name)
            and not (name.lower().endswith(".bin") and f"{name[: -len('.bin')]}.xml" in here)
        ]
        sure = [name for name in known if not name.lower().endswith(AMBIGUOUS)]
        whole = [DISTRIBUTED_METADATA] if DISTRIBUTED_METADATA in here else []
        return Listing((*whole, *(sure or known)), tuple(name for name in names if is_index(name)))

    def _one(self, folder: str, wanted: Optional[str], label: str = "") -> str:
        """Download one model in a folder; returns its weights file, and says why if it has more."""
        chosen, told = choose(self._listing(folder), wanted)
        for line in told:
            self._say(label + line)
        self._describe(folder)
        self._weights(folder, chosen)
        return chosen

    def _describe(self, folder: str) -> None:
        here = self._folders.get(folder, [])
        for name in _BESIDE:
            if name in here:
                self._get(_joined(folder, name))
        vocabulary = _joined(folder, "vocabulary")
        for name in self._folders.get(vocabulary, []):
            if name.endswith(".txt"):
                self._get(f"{vocabulary}/{name}")

    def _weights(self, folder: str, chosen: str) -> None:
        """Download a weights file, or all files that it stands for."""
        here = self._folders.get(folder, [])
        path = self._get(_joined(folder, chosen))
        self._got.append(path)
        for name in self._companions(chosen, path, here):
            self._got.append(self._get(_joined(folder, name)))

    def _companions(self, chosen: str, path: Path, here: Sequence[str]) -> list[str]:
        known = set(here) - {chosen}
        if is_index(chosen):
            shards = dict.fromkeys(places_of(path, chosen).values())
            return [name for name in shards if name in known]
        if chosen == DISTRIBUTED_METADATA:
            return [name for name in here if name.endswith(".distcp")]
        if chosen.lower().endswith(".onnx"):
            stem = chosen[: -len(".onnx")]
            begins = (f"{chosen}_data", f"{chosen}.data", f"{stem}.data", f"{stem}_data")
            return [name for name in here if name.startswith(begins)]
        return [part.name for part in parts_of(Path(chosen)) if part.name in known]


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name
