"""Finds the models below a directory, or those that a glob matches."""

import fnmatch
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.archive import CONFIG
from allennlp_analyze.sources.directories.checkpoints import is_checkpoint_directory
from allennlp_analyze.sources.directories.choosing import PREFERRED_WEIGHTS, are_variants
from allennlp_analyze.sources.directories.contents import ADAPTER_CONFIG, ARCHIVE
from allennlp_analyze.sources.directories.foreign import recognized_directory
from allennlp_analyze.sources.directories.judging import Judgement, Kind, judge
from allennlp_analyze.sources.directories.layouts import (
    MODULES,
    is_repository,
    natural,
    part_names,
    snapshot,
)
from allennlp_analyze.sources.formats.gguf.splits import is_later_part
from allennlp_analyze.sources.formats.registry import (
    ARCHIVE_ENDINGS,
    DISTRIBUTED_METADATA,
    MODEL_ENDINGS,
)
from allennlp_analyze.sources.formats.sharded import are_shards, is_index
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.zoo.manifest.walking import listed, walk

_MAGIC = re.compile(r"[*?[]")
_ANY_DEPTH = "**"
_VOCABULARY = "vocabulary"


@dataclass
class Found:
    """The models that were found, sorted, and what is passed over.

    `unread` are paths with what is there, `trainer_files` a number of files.
    """

    models: tuple[Path, ...] = ()
    trainer_files: int = 0
    unread: tuple[str, ...] = ()


@dataclass
class _Finding:
    """What has been found so far; `root` is where relative paths in messages begin."""

    root: Path
    models: dict[Path, None] = field(default_factory=dict)
    trainers: set[Path] = field(default_factory=set)
    unread: dict[str, None] = field(default_factory=dict)
    parts: set[Path] = field(default_factory=set)
    judged: dict[Path, Judgement] = field(default_factory=dict)

    def found(self) -> Found:
        directories = {path for path in self.models if path.is_dir()}
        outside = [x for x in self.models if not self._is_part(x, directories)]
        return Found(tuple(_in_order(outside)), len(self.trainers), tuple(self.unread))

    def judge(self, path: Path) -> Judgement:
        if path not in self.judged:
            archive = path.name.lower().endswith(ARCHIVE_ENDINGS)
            self.judged[path] = Judgement(Kind.OTHER) if archive else judge(path)
        return self.judged[path]

    def weights(self, files: Iterable[Path]) -> list[str]:
        """Returns the names of those of `files` that are weights files, by name and contents."""
        named = (path for path in files if is_model_file(path.name))
        return [path.name for path in named if self.judge(path).kind is Kind.MODEL]

    def _is_part(self, path: Path, directories: Collection[Path]) -> bool:
        """Whether a model belongs to that of a directory above: a module, or a file beside it."""
        if path in self.parts or any(above in self.parts for above in path.parents):
            return True
        return path not in directories and any(
            not is_checkpoint_directory(path.relative_to(above).parts[0])
            for above in path.parents
            if above in directories
        )

    def says(self, path: Path, reason: str) -> None:
        try:
            path = path.relative_to(self.root)
        except ValueError:
            pass
        self.unread[f"{excerpt(path.as_posix(), 200)} {reason}"] = None


def is_glob(text: str) -> bool:
    return _MAGIC.search(text) is not None


def is_model_file(name: str) -> bool:
    """Whether a file has the name of an archive or a weights file."""
    return name.lower().endswith(MODEL_ENDINGS) and not name.startswith(".")


def models_below(root: Path) -> Found:
    """Returns every model below the directory `root`, or `root` itself.

    Hidden files and directories are skipped, and so are files inside the directory of a model,
    unless they are the model's own checkpoints. A directory with several links counts once, under
    its own path if that is below `root`. Raises `UsageError` if a directory cannot be read.
    """
    finding = _Finding(root)
    _look_below(root, finding)
    return finding.found()


def models_matching(pattern: str) -> tuple[Path, Found]:
    """Returns the directory above the first wildcard of `pattern`, and the models that it matches.

    `**` matches any number of directories; circular links are not followed. Raises `UsageError`.
    """
    parts = Path(os.path.expanduser(pattern)).parts
    first = next(number for number, part in enumerate(parts) if is_glob(part))
    base = Path(*parts[:first])
    finding = _Finding(base)
    for match in _matches(base, parts[first:]):
        if match.is_dir():
            _look_below(match, finding)
        elif match.is_file():
            _look_at(match, finding)
    return base, finding.found()


def _look_below(root: Path, finding: _Finding) -> None:
    inside: set[Path] = set()  # directories of models, and what is below them
    for directory, files, directories in walk(root):
        if directory.parent in inside and not is_checkpoint_directory(directory.name):
            # Only directories that are models themselves count here.
            inside.add(directory)
            if _is_model_directory(directory, files, finding):
                finding.models[directory] = None
            continue
        if is_repository(directory):
            directories[:] = _snapshot_of(directory, finding)
            continue
        names = [path.name for path in (*files, *directories)]
        if _is_model_directory(directory, files, finding):
            finding.models[directory] = None
            parts = {directory / name for name in (*_modules(directory, finding), _VOCABULARY)}
            finding.parts |= parts
            directories[:] = [path for path in directories if path not in parts]
            inside.add(directory)
            _count_trainers(files, finding)
        elif (strange := recognized_directory([*names, *_hidden(directory)])) is not None and not (
            any(is_model_file(path.name) and not strange.owns(path.name) for path in files)
        ):
            finding.says(directory, strange.described)
            _count_trainers(files, finding)
            directories.clear()
        else:
            for path in files:
                if not is_later_part(path.name, names):
                    _look_at(path, finding)


def _look_at(path: Path, finding: _Finding) -> None:
    """Judge one file outside the directories of models."""
    if path.name.startswith("."):
        return
    if path.name.lower().endswith(ARCHIVE_ENDINGS):
        finding.models[path] = None
        return
    found = finding.judge(path)
    if found.kind is Kind.MODEL:
        finding.models[path] = None
    elif found.kind is Kind.TRAINER:
        finding.trainers.add(path)
    elif found.kind in (Kind.UNREAD, Kind.UNKNOWN):
        finding.says(path, found.reason)


def _count_trainers(files: Sequence[Path], finding: _Finding) -> None:
    finding.trainers.update(x for x in files if finding.judge(x).kind is Kind.TRAINER)


def _hidden(directory: Path) -> list[str]:
    return [name for name in (DISTRIBUTED_METADATA,) if (directory / name).is_file()]


def _is_model_directory(directory: Path, files: Sequence[Path], finding: _Finding) -> bool:
    """Whether a directory is one model for `open_source`.

    This is a serialization directory, a directory of the Hub with configuration and weights, a
    model in modules, a distributed checkpoint, or one with sharded weights, even without their
    index, because its shards are not models.
    """
    names = {path.name for path in files}
    if (directory / DISTRIBUTED_METADATA).is_file() and any(x.endswith(".distcp") for x in names):
        return True
    if CONFIG in names and not {*PREFERRED_WEIGHTS, ARCHIVE}.isdisjoint(names):
        return True
    if MODULES in names and _modules(directory, finding):
        return True
    weights = finding.weights(files)
    shards = [name for name in weights if are_shards([name])]
    if shards and (len(shards) == len(weights) or any(map(is_index, names))):
        return True
    return {CONFIG, ADAPTER_CONFIG} & names != set() and are_variants(weights)


def _modules(directory: Path, finding: _Finding) -> tuple[str, ...]:
    """Returns the directories that the index of a model in modules lists."""
    try:
        return part_names(directory)
    except SourceError as error:
        finding.says(directory, error.text)
        return ()


def _snapshot_of(repository: Path, finding: _Finding) -> list[Path]:
    """Add the model of a repository of the Hub's cache, or return the directory to search for it.

    A repository with one model at its top is the model, under its own name.
    """
    try:
        chosen = snapshot(repository)[0]
    except SourceError as error:
        finding.says(repository, error.text)
        return []
    files, _ = listed(chosen)
    if len(finding.weights(files)) != 1 and not _is_model_directory(chosen, files, finding):
        return [chosen]
    finding.models[repository] = None
    return []


def _matches(base: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH and rest[:1] == (_ANY_DEPTH,):
        yield from _matches(base, rest)
    elif part == _ANY_DEPTH:
        for directory, _, _ in walk(base) if base.is_dir() else ():
            yield from _matches(directory, rest)
    elif not is_glob(part):
        if os.path.exists(base / part):
            yield from _matches(base / part, rest)
    elif base.is_dir():
        wanted = re.compile(fnmatch.translate(part))
        files, directories = listed(base)
        for path in (*directories, *(() if rest else files)):
            if wanted.match(path.name):
                yield from _matches(path, rest)


def _in_order(paths: Sequence[Path]) -> list[Path]:
    """Sort by path, numbers by value; a model follows the checkpoints in its directory."""
    trained = {path.parent for path in paths if is_checkpoint_directory(path.name)}
    trained |= {path.parent.parent for path in paths if is_checkpoint_directory(path.parent.name)}

    def key(path: Path) -> tuple[object, ...]:
        parts: tuple[object, ...] = tuple(natural(part) for part in path.parts)
        return (*parts, ((2, 0, ""),)) if path in trained else parts

    return sorted(paths, key=key)
