"""The history of a training run, as the monitor writes it to a file: read, and joined over resumes.

A file of JSON lines. Each time that a monitor opens the file it appends a header, which names the
columns; then comes one line per check:

    {"format": "allennlp-analyze run", "version": 1, "columns": ["kind", "M", "verdict", ...]}
    {"epoch": 1, "step": 200, ..., "layers": {"encoder.0": ["linear", 64, "full_rank", ...]}}
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Optional

from allennlp_analyze.errors import SourceError
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.storage.files import PathLike, open_regular
from allennlp_analyze.storage.records import decoded
from allennlp_analyze.text.names import printable

FORMAT, VERSION = "allennlp-analyze run", 1
# A line of a check of 100,000 layers has about 20 MB.
MAX_LINE = 2**28


@dataclass(frozen=True)
class LayerPoint:
    """One layer at one check of a run; the fields are those of `monitor.results.Reading`.

    `learning_rate` and `weight_decay` are those of the optimizer's group. An undefined number is
    None.
    """

    layer: str
    kind: str
    M: int
    verdict: Verdict
    lost: int
    min_singular_value: Optional[float] = None
    null_ratio: Optional[float] = None
    stable_rank: Optional[float] = None
    effective_rank: Optional[float] = None
    alpha: Optional[float] = None
    spectral_norm: Optional[float] = None
    rms: Optional[float] = None
    rms_ratio: Optional[float] = None
    update: Optional[float] = None
    update_stable_rank: Optional[float] = None
    learning_rate: Optional[float] = None
    weight_decay: Optional[float] = None
    is_frozen: bool = False


@dataclass(frozen=True)
class Warned:
    """A warning of a check: from `verdict` on, healthy until `since` (None if never)."""

    layer: str
    verdict: Verdict
    since: Optional[float]
    sentence: str
    at_first: bool = False


@dataclass(frozen=True)
class RunCheck:
    """One check of a run. `session` counts the times that the training was started, from 0."""

    epoch: Optional[float]
    step: Optional[int]
    layers: tuple[LayerPoint, ...]
    warnings: tuple[Warned, ...] = ()
    invalid: tuple[str, ...] = ()
    put_off: tuple[str, ...] = ()
    seconds: float = 0.0
    stop: bool = False
    session: int = 0


@dataclass(frozen=True)
class RunHistory:
    """The checks of a run in their order, without those that a resumed training has redone."""

    checks: tuple[RunCheck, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers, in the order of their first check."""
        return tuple(dict.fromkeys(x.layer for check in self.checks for x in check.layers))

    def of(self, layer: str) -> tuple[tuple[RunCheck, LayerPoint], ...]:
        """Returns the points of one layer, each with its check."""
        return tuple(
            (check, point)
            for check in self.checks
            for point in check.layers
            if point.layer == layer
        )


# The fields of a layer in a line, in this order, after its name.
COLUMNS = tuple(field.name for field in fields(LayerPoint) if field.name != "layer")


def read_run_history(path: PathLike) -> RunHistory:
    """Returns the history in the file `path`.

    A training that is resumed repeats the epochs since its checkpoint: what it had already written
    of them is left out. A line that was cut off, by a full disk or a killed process, is left out,
    too. Raises `SourceError` if the file cannot be read or is not such a history.
    """
    name = printable(str(path))
    earlier, current = list[RunCheck](), list[RunCheck]()
    session, columns = -1, None
    try:
        for line in _lines(path):
            found = _parsed(line)
            if not isinstance(found, Mapping):
                if columns is None:
                    break  # another file
                continue
            if "format" in found:
                columns, session = _columns(found, name), session + 1
                earlier, current = [*earlier, *current], []
            elif columns is not None:
                check = _check(found, columns, session)
                earlier = [x for x in earlier if _is_before(x, check)]
                current.append(check)
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}") from None
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise SourceError(f"{name}: not a valid history of a run ({error})") from None
    if columns is None:
        raise SourceError(f"{name}: not a history of a run, as RankMonitor(history=...) writes it")
    return RunHistory((*earlier, *current))


def _lines(path: PathLike) -> Iterator[bytes]:
    with open_regular(path) as file:
        while line := file.readline(MAX_LINE):
            yield line


def _parsed(line: bytes) -> Any:
    """Returns the value of a line, None for one that is cut off."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _columns(header: Mapping[str, Any], name: str) -> Sequence[str]:
    if header["format"] != FORMAT:
        raise SourceError(f"{name}: not a history of a run, as RankMonitor(history=...) writes it")
    if not isinstance(header["version"], int) or header["version"] > VERSION:
        raise SourceError(f"{name}: written by a newer version of allennlp-analyze; update it")
    return [str(column) for column in header["columns"]]


def _check(found: Mapping[str, Any], columns: Sequence[str], session: int) -> RunCheck:
    layers = [
        {"layer": name, **dict(zip(columns, values))} for name, values in found["layers"].items()
    ]
    check: RunCheck = decoded(RunCheck, {**found, "layers": layers, "session": session})
    return check


def _is_before(earlier: RunCheck, check: RunCheck) -> bool:
    """Whether a check of an earlier session is not redone by `check` or what came before it."""
    for one, other in ((earlier.step, check.step), (earlier.epoch, check.epoch)):
        if one is not None and other is not None:
            return one < other
    return True
