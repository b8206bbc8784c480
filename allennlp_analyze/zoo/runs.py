"""Finds the trainings among the models that a manifest lists, after their analysis."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from allennlp_analyze.sources.directories.checkpoints import trainings
from allennlp_analyze.sources.download.cache import is_url
from allennlp_analyze.text.redaction import redacted_url
from allennlp_analyze.zoo.manifest.checkpoints import arguments_of_series
from allennlp_analyze.zoo.manifest.entries import ZooEntry
from allennlp_analyze.zoo.results import DONE, ModelOutcome, ZooRun

# Options of an entry by which one file may be read as several models.
_READING = ("key", "weights_file")


def runs_listed(
    entries: Sequence[ZooEntry], outcomes: Mapping[int, ModelOutcome]
) -> tuple[ZooRun, ...]:
    """Returns the trainings of which several analyzed entries are checkpoints.

    Their names say so, and their layers have the same names and shapes. A failed one is in none.
    """
    same: dict[tuple[object, ...], list[int]] = {}
    for index, entry in enumerate(entries):
        if outcomes[index].status == DONE:
            same.setdefault((_place(entry), *_reading(entry)), []).append(index)
    first = [indexes[0] for indexes in same.values()]
    listed = list(same.values())
    places = [_place(entries[index]) for index in first]

    def signature(place: int) -> tuple[object, ...]:
        layers = outcomes[first[place]].layers
        return (*_reading(entries[first[place]]), *((x.name, x.N, x.M) for x in layers))

    return tuple(
        ZooRun(
            model=entries[first[found.chosen]].name,
            why=found.why,
            listed=tuple(entries[i].name for place in found.others for i in listed[place]),
            follow=redacted_url(arguments_of_series(found)),
        )
        for found in trainings(places, signature)
    )


def _reading(entry: ZooEntry) -> tuple[object, ...]:
    return tuple(entry.options.get(name) for name in _READING)


def _place(entry: ZooEntry) -> str:
    """Returns the path of a model, which may be a part of a directory, or its URL."""
    archive = entry.archive
    if is_url(archive):
        place = archive.partition("?")[0].rstrip("/")
    else:
        place = Path(os.path.normpath(os.path.expanduser(archive))).as_posix()
    part = entry.options.get("part")
    return f"{place}/{part}" if part else place
