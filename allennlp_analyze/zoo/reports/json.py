"""Writes and reads zoo.json: all models of a zoo and their totals as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Union

from allennlp_analyze.data import read_schema
from allennlp_analyze.errors import SourceError
from allennlp_analyze.reports.json import plain, read_versioned
from allennlp_analyze.storage.files import write_atomically
from allennlp_analyze.zoo.results import ZooModel, ZooReport

SCHEMA_VERSION = 1


def zoo_to_dict(report: ZooReport) -> dict[str, Any]:
    """Returns the zoo as plain dicts, lists, strings and finite numbers, or None.

    The layout is that of zoo.schema.json. Numbers keep their full precision. The layers of a model
    are in its own report. Raises `ValueError` for a report without a summary.
    """
    return {**_head(report), "models": [_model(model) for model in report.models]}


def write_zoo_json(report: ZooReport, path: Union[str, Path]) -> None:
    """Write the contents of `zoo_to_dict` to zoo.json in ASCII, with a line for each model.

    Raises `OutputError`; `ValueError` for a report without a summary.
    """

    def write(file: BinaryIO) -> None:
        for text in _texts(report):
            file.write(text.encode("ascii"))

    write_atomically(path, write)


def read_zoo_json(path: Union[str, Path]) -> dict[str, Any]:
    """Returns the contents of a zoo.json, in the layout of `zoo_to_dict`.

    Raises `SourceError` if the file is not that of a zoo, or has another schema version.
    """
    contents = read_versioned(path, "zoo.json", SCHEMA_VERSION, "analyze the zoo again")
    if not isinstance(contents.get("models"), list):
        raise SourceError(f"{path}: is not a zoo; expected a zoo.json of this tool")
    return contents


def zoo_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of zoo.json."""
    return read_schema("zoo")


def _head(report: ZooReport) -> dict[str, Any]:
    """Returns everything except the models."""
    summary = report.require_summary()
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": plain(report.tool),
        "title": report.title,
        "manifest": report.manifest,
        "trainer_files": report.trainer_files,
        "unread": list(report.unread),
        "runs": plain(report.runs),
        "settings": plain(report.settings),
        "seconds": plain(report.seconds),
        "totals": plain(summary.totals),
        "groups": [{"name": name, **plain(totals)} for name, totals in summary.groups.items()],
        "claims": plain(report.claims),
    }


def _model(model: ZooModel) -> dict[str, Any]:
    outcome = model.outcome
    return {
        "name": model.name,
        "group": model.group,
        "archive": model.archive,
        "resolved": outcome.resolved,
        "directory": model.directory,
        "status": outcome.status,
        "reason": outcome.reason,
        "seconds": plain(outcome.seconds),
        "sha256": outcome.sha256,
        "weights": outcome.weights,
        "model_type": outcome.model_type,
        "duplicate_of": model.duplicate_of,
        "checkpoint_of": model.checkpoint_of,
        "summary": plain(outcome.summary),
        "worst_layer": plain(outcome.worst_layer),
        "warnings": list(outcome.warnings),
    }


def _texts(report: ZooReport) -> Iterator[str]:
    """Yields zoo.json in pieces, so that 100,000 models are never in memory as text or dicts."""
    head = json.dumps(_head(report), indent=2, allow_nan=False)
    yield head[: -len("\n}")] + ',\n  "models": ['
    for index, model in enumerate(report.models):
        yield (",\n    " if index else "\n    ") + json.dumps(_model(model), allow_nan=False)
    yield "\n  ]\n}\n" if report.models else "]\n}\n"
