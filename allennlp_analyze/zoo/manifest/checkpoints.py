"""Finds the trainings among the models of a directory, and the model that stands for each."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from allennlp_analyze.sources.directories.checkpoints import (
    FINAL,
    Training,
    states_of_allennlp,
    trainings,
)
from allennlp_analyze.sources.directories.shapes import shapes_digest


@dataclass(frozen=True)
class Trained:
    """One training: `model` stands for it, for the reason `why`.

    `others` are its other checkpoints, `follow` the arguments of `allennlp-analyze series` for all.
    """

    model: Path
    why: str
    others: tuple[Path, ...]
    follow: str


def trainings_among(paths: Sequence[Path]) -> tuple[Trained, ...]:
    """Returns the trainings of which several of the models `paths` are checkpoints.

    The directory of a model in which AllenNLP keeps its states is a training, too.
    """
    states = {path: tuple(states_of_allennlp(path)) for path in paths if path.is_dir()}
    of_allennlp = [
        Trained(path, FINAL, others, shlex.quote(path.as_posix()))
        for path, others in states.items()
        if others
    ]
    rest = [path for path in paths if not states.get(path)]
    every = [path.as_posix() for path in paths]
    places = [path.as_posix() for path in rest]
    return (
        *of_allennlp,
        *(
            Trained(
                rest[training.chosen],
                training.why,
                tuple(rest[index] for index in training.others),
                arguments_of_series(training, every),
            )
            for training in trainings(places, lambda index: shapes_digest(rest[index]))
        ),
    )


def arguments_of_series(training: Training, places: Optional[Sequence[str]] = None) -> str:
    """Returns the directory of a training for a shell, or a glob if others may be in it, too.

    `places` are all models, None if these are not known.
    """
    above = f"{training.directory}/" if training.directory else ""
    if places and sum(place.startswith(above) for place in places) <= training.n_inside:
        return shlex.quote(training.directory or ".")
    pieces = f"{above}{training.pattern}".split("*")
    return "*".join(shlex.quote(piece) if piece else "" for piece in pieces)
