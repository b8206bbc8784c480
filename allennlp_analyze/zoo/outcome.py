"""Writes and reads outcome.json: the outcome of one model of a zoo, in the model's directory."""

import json
from pathlib import Path
from typing import NoReturn, Optional, Union

from allennlp_analyze.reports.json import plain
from allennlp_analyze.results.verdict import LAYER_VERDICTS
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.storage.records import decoded
from allennlp_analyze.zoo.results import DONE, STATUSES, ModelOutcome

OUTCOME = "outcome.json"
FORMAT_VERSION = 2


def write_outcome(outcome: ModelOutcome, directory: Union[str, Path]) -> None:
    """Write outcome.json into the existing `directory` atomically, with exact numbers.

    Raises `OutputError`.
    """
    contents = {"format_version": FORMAT_VERSION, **plain(outcome)}
    write_text(Path(directory) / OUTCOME, json.dumps(contents, allow_nan=False) + "\n")


def read_outcome(directory: Union[str, Path]) -> Optional[ModelOutcome]:
    """Returns the outcome that `write_outcome` wrote into `directory`.

    Returns None if it is missing, damaged, or in another version of the format; then the model must
    be analyzed again.
    """
    try:
        text = (Path(directory) / OUTCOME).read_bytes()
        contents = json.loads(text, parse_constant=_refuse)
        if contents["format_version"] != FORMAT_VERSION:
            return None
        outcome: ModelOutcome = decoded(ModelOutcome, contents)
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
    return outcome if _makes_sense(outcome) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _makes_sense(outcome: ModelOutcome) -> bool:
    """Checks what readers rely on beyond the types."""
    is_complete = outcome.status != DONE or outcome.summary is not None
    layers = outcome.layers
    are_layers = all(x.N >= x.M >= 1 and x.verdict in LAYER_VERDICTS for x in layers)
    return outcome.status in STATUSES and is_complete and are_layers
