"""Finds the checkpoints of one training, and their order."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.sources.directories.checkpoints import (
    MAX_DIGITS,
    epoch_in,
    states_of_allennlp,
    step_in,
)
from allennlp_analyze.sources.directories.judging import Kind, judge
from allennlp_analyze.sources.directories.layouts import natural
from allennlp_analyze.sources.download.cache import is_url
from allennlp_analyze.sources.formats.registry import without_ending
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import enumerated
from allennlp_analyze.text.redaction import redacted_url
from allennlp_analyze.zoo.manifest.names import distinct
from allennlp_analyze.zoo.manifest.scan import models_below

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# The label of the model at the end, which has no number.
FINAL = "final"


@dataclass(frozen=True)
class Checkpoint:
    """A state of a training. `label` is its path below that of the series, up to its number.

    `epoch` and `step` are the numbers in its name, None if it has none.
    """

    archive: str
    label: str
    epoch: Optional[int] = None
    step: Optional[int] = None


@dataclass(frozen=True)
class Found:
    """The checkpoints of a series in order; `left_out` are other models there, with the reason.

    `is_directory`: they are those below the directory `title`.
    """

    title: str
    checkpoints: tuple[Checkpoint, ...]
    left_out: tuple[str, ...] = ()
    is_directory: bool = False


def in_order(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Sort by the numbers in the labels; the final model comes last."""
    return tuple(sorted(checkpoints, key=lambda x: (x.label == FINAL, natural(_numbered(x.label)))))


def find_series(arguments: Sequence[str]) -> Found:
    """Returns the checkpoints below a directory, or those that are given.

    Several arguments whose names differ in their numbers only are sorted by these; others stay in
    the given order. Raises `UsageError` if there is no such file, if one is given twice, or if the
    directory contains several trainings.
    """
    if len(arguments) == 1:
        root = Path(os.path.expanduser(arguments[0]))
        if is_url(arguments[0]) or not root.is_dir():
            raise UsageError(
                f"{redacted_url(arguments[0])}: expected the directory of a training, or several"
                " checkpoints"
            )
        return _below(root)
    return _given(arguments)


def _given(arguments: Sequence[str]) -> Found:
    for argument in arguments:
        if not is_url(argument) and not os.path.exists(os.path.expanduser(argument)):
            raise UsageError(f"{argument}: no such file or directory")
    if len(set(arguments)) < len(arguments):
        twice = next(x for x in arguments if list(arguments).count(x) > 1)
        raise UsageError(f"{redacted_url(twice)}: given twice")
    shown = [redacted_url(argument) for argument in arguments]
    above = os.path.commonpath(shown) if all(map(os.path.isabs, shown)) else ""
    labels = [os.path.relpath(x, above) if above else x for x in shown]
    pairs = list(zip(arguments, labels))
    if len({_template(label) for label in labels}) == 1:
        pairs.sort(key=lambda pair: natural(_numbered(pair[1])))
    title = enumerated([label for _, label in pairs], 2)
    made = [_checkpoint(archive, label) for archive, label in pairs]
    names = distinct([(x.label, label) for x, (_, label) in zip(made, pairs)])
    return Found(title, tuple(replace(x, label=name) for x, name in zip(made, names)))


def _below(root: Path) -> Found:
    found = list(models_below(root).models)
    folders = dict.fromkeys(path for path in (root, *found) if path.is_dir())
    states = [
        state
        for folder in folders
        for state in states_of_allennlp(folder)
        if judge(state).kind is Kind.MODEL
    ]
    groups: dict[str, list[Path]] = {}
    unnumbered = []
    for path in dict.fromkeys((*states, *found)):
        label = _label(path, root)
        template = _template(label)
        groups.setdefault(template, []).append(path) if "#" in template else unnumbered.append(path)
    members, others = _one_training(root, groups)
    last = [x for x in unnumbered if _is_final(x, members)]
    left_out = [
        f"{_called(x, root)}: {_why_left_out(x, states)}" for x in unnumbered if x not in last
    ]
    checkpoints = [_checkpoint(str(path), _label(path, root)) for path in members]
    checkpoints += [Checkpoint(str(path), FINAL) for path in last]
    return Found(str(root), in_order(checkpoints), (*left_out, *others), is_directory=True)


def _one_training(
    root: Path, groups: Mapping[str, list[Path]]
) -> tuple[list[Path], tuple[str, ...]]:
    """Returns the checkpoints of the only training, and a line for each other model.

    Raises `UsageError` if there are several trainings.
    """
    large = {name: paths for name, paths in groups.items() if len(paths) > 1}
    chosen = large or groups
    if len(chosen) > 1:
        listing = enumerated(
            [f"{name} ({count(len(x), 'model')})" for name, x in chosen.items()], 4
        )
        raise UsageError(f"{root}: contains several trainings: {listing}; name one, or its files")
    members = next(iter(chosen.values()), [])
    alone = [paths[0] for name, paths in groups.items() if name not in chosen]
    return list(members), tuple(f"{_label(x, root)}: not one of the training" for x in alone)


def _is_final(path: Path, members: Sequence[Path]) -> bool:
    """Whether `path` is the directory of a finished model, in which its checkpoints lie.

    That of AllenNLP has a copy of one of its states.
    """
    return path.is_dir() and any(path == x.parent and x.is_dir() for x in members)


def _why_left_out(path: Path, states: Sequence[Path]) -> str:
    if any(path == state.parent for state in states):
        return "AllenNLP's copy of one of its states"
    return "no number in its name"


def _called(path: Path, root: Path) -> str:
    """Returns the label of a model for readers, who may not know that "." is the directory."""
    return f"{root.resolve().name} (the directory itself)" if path == root else _label(path, root)


def _label(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()  # "." for the directory itself


def _place(label: str) -> int:
    """Returns the index of the last part of `label` with a number, -1 if none has one."""
    parts = _parts(label)
    return max((i for i, part in enumerate(parts) if _NUMBER.search(part)), default=-1)


def _parts(label: str) -> list[str]:
    """Returns the parts of a path; the ending of the last one may have a number of its own."""
    *above, last = label.split("/")
    return [*above, without_ending(last)]


def _numbered(label: str) -> str:
    """Returns the part of a label by which it is sorted."""
    place = _place(label)
    return label if place < 0 else _parts(label)[place]


def _template(label: str) -> str:
    """Returns the label with # for the numbers that differ between checkpoints."""
    place = _place(label)
    if place < 0:
        return label
    parts = label.split("/")
    parts[place] = _NUMBER.sub("#", parts[place])
    return "/".join(parts)


def _checkpoint(archive: str, label: str) -> Checkpoint:
    name, place = _numbered(label), _place(label)
    label = "/".join(label.split("/")[: place + 1]) or label
    step, epoch = step_in(name), epoch_in(name)
    if step is None and epoch is None:
        numbers = re.findall(r"\d+", name)
        step = int(numbers[0]) if len(numbers) == 1 and len(numbers[0]) <= MAX_DIGITS else None
    return Checkpoint(archive, label, epoch, step)
