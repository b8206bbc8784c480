"""Analyzes one model of a zoo; every model gets an outcome, even after an error."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze.analysis.pipeline import run
from allennlp_analyze.analysis.request import Building, Reading, Writing
from allennlp_analyze.analysis.writing import TABLE
from allennlp_analyze.errors import AnalyzeError, SourceError
from allennlp_analyze.options.choices import material
from allennlp_analyze.reports.html.model import PAGE
from allennlp_analyze.reports.loader import REPORT, VALUES
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.worst import judged_layers, worst_layer
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.directories.layouts import is_repository, snapshot
from allennlp_analyze.sources.download.cache import is_url
from allennlp_analyze.sources.formats.sharded import is_index
from allennlp_analyze.storage.files import make_directory, write_atomically
from allennlp_analyze.storage.states import state_of
from allennlp_analyze.storage.workspace import workspace
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.zoo.manifest.entries import ZooEntry
from allennlp_analyze.zoo.manifest.options import Choices
from allennlp_analyze.zoo.outcome import OUTCOME, write_outcome
from allennlp_analyze.zoo.results import DONE, FAILED, ModelOutcome, WorstLayer, ZooCause, ZooLayer

# Digits of the norms by which weights are compared: the last bits differ between machines.
DIGITS = 6


@dataclass(frozen=True)
class Unit:
    """What to analyze and where to write; the outcome depends only on what `digest` covers."""

    name: str
    reading: Reading
    writing: Writing
    building: Building
    settings: Settings
    reference: Optional[str]
    digest: str

    @property
    def directory(self) -> Path:
        return self.writing.directory

    def within(self, directory: Path) -> "Unit":
        """Returns the same unit with its reports in another directory."""
        return replace(self, writing=replace(self.writing, directory=directory))


def make_unit(entry: ZooEntry, choices: Choices, directory: Path, resume: bool = True) -> Unit:
    """Returns the unit that writes into `directory` and resumes an interrupted run there.

    Without `resume` it starts over.
    """
    facts = {
        "version": VERSION,
        "archive": entry.archive,
        "sha256": entry.sha256,
        # A format matters only if there are figures.
        "choices": material(replace(choices, plot_format=choices.figures)),
        "files": [_facts(x) for x in (entry.archive, choices.weights_file, choices.reference)],
    }
    return Unit(
        entry.name,
        Reading(
            entry.archive,
            choices.weights_file,
            entry.sha256,
            choices.key,
            choices.part,
            choices.limits,
        ),
        Writing(
            directory,
            force=True,
            resume=resume,
            plots=choices.figures is not None,
            plot_format=choices.figures,
        ),
        choices.building,
        choices.settings,
        choices.reference,
        hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest(),
    )


def _facts(named: Optional[str]) -> list[object]:
    """Returns the facts that show whether a local file or directory changed; [] for a URL.

    A failed model has no list of the files that it would have read, so everything beside the shards
    of an index counts.
    """
    if named is None or is_url(named):
        return []
    path = Path(os.path.expanduser(named))
    if is_index(named):
        path = path.parent
    with contextlib.suppress(SourceError):  # opening it will say what is wrong
        path = snapshot(path)[0] if is_repository(path) else path
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [asdict(state_of(file)) for file in files if file.is_file()]


@dataclass(frozen=True)
class Token:
    """A file in the zoo's directory; a worker that can read `secret` in it sees that directory."""

    path: Path
    secret: str

    def is_seen(self) -> bool:
        try:
            return self.secret in self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False


@dataclass(frozen=True)
class Returned:
    """An outcome, with its files if the worker could not write them to the zoo's directory.

    `files` are bytes by path relative to the unit's directory.
    """

    outcome: ModelOutcome
    files: dict[str, bytes] = field(default_factory=dict, repr=False)


def analyze_anywhere(token: Token, unit: Unit) -> Returned:
    """Run `analyze_unit` in the unit's directory, or in a temporary one if it is not visible."""
    if token.is_seen():
        return Returned(analyze_unit(unit))
    with workspace() as directory:
        outcome = analyze_unit(unit.within(directory / "model"))
        files = [path for path in (directory / "model").rglob("*") if path.is_file()]
        contents = {
            path.relative_to(directory / "model").as_posix(): path.read_bytes() for path in files
        }
        return Returned(outcome, contents)


def receive(returned: Returned, unit: Unit) -> ModelOutcome:
    """Write the returned files to the unit's directory, outcome.json last; returns the outcome."""
    try:
        for name, contents in sorted(returned.files.items()):
            if name != OUTCOME:
                _place(unit.directory / name, contents)
    except AnalyzeError as error:
        return failure(unit.digest, str(error))
    return kept(returned.outcome, unit.directory) if returned.files else returned.outcome


def _place(path: Path, contents: bytes) -> None:
    def write(file: BinaryIO) -> None:
        file.write(contents)

    make_directory(path.parent)
    write_atomically(path, write)


def analyze_unit(unit: Unit) -> ModelOutcome:
    """Analyze one model and write its reports and its outcome, even if it fails.

    Only an interrupt passes through; the journal then keeps the finished layers.
    """
    started = time.perf_counter()
    outcomes: list[ModelOutcome] = []

    def on_written(report: ModelReport) -> None:
        done = replace(_done(report, unit), seconds=time.perf_counter() - started)
        outcomes.append(kept(done, unit.directory))

    try:
        run(
            unit.reading,
            unit.writing,
            unit.settings,
            unit.building,
            reference=unit.reference,
            on_written=on_written,
        )
        return outcomes[0]
    except AnalyzeError as error:
        outcome = failure(unit.digest, str(error))
    except Exception as error:  # a bug must not end the other models
        outcome = failure(unit.digest, f"unexpected {type(error).__name__}: {error}")
    outcome = replace(outcome, seconds=time.perf_counter() - started)
    return kept(outcome, unit.directory)


def kept(outcome: ModelOutcome, directory: Path) -> ModelOutcome:
    """Write `outcome` into `directory`; returns it, or an outcome that says that writing failed."""
    try:
        write_outcome(outcome, make_directory(directory))
    except AnalyzeError as error:
        return failure(outcome.request, str(error))
    return outcome


def failure(digest: str, reason: str) -> ModelOutcome:
    """Returns the outcome of a failed model, with the reason on one line."""
    return ModelOutcome(FAILED, digest, reason=one_line(reason))


def _done(report: ModelReport, unit: Unit) -> ModelOutcome:
    sizes = [(name, (unit.directory / name).stat().st_size) for name in (REPORT, VALUES, TABLE)]
    return ModelOutcome(
        DONE,
        unit.digest,
        sha256=report.source.sha256,
        # Models of adapters alone have no layers to tell them apart.
        weights=weights_digest(report.layers) if report.layers else None,
        resolved=report.source.resolved,
        model_type=report.source.model_type,
        summary=report.summary,
        layers=tuple(zoo_layer(layer) for layer in report.layers),
        warnings=report.warnings,
        files=report.files,
        reports=(*sizes, (PAGE, None)),
        worst_layer=zoo_worst(report.layers),
    )


def zoo_worst(layers: Sequence[LayerResult]) -> Optional[WorstLayer]:
    """Returns the worst of the judged layers, or of all if none is judged; None without layers."""
    worst = worst_layer(judged_layers(layers) or layers)
    if worst is None:
        return None
    return WorstLayer(worst.name, worst.kind, worst.verdict, worst.reason)


def zoo_layer(layer: LayerResult) -> ZooLayer:
    """Returns the numbers of a layer for figures and claims over all models."""
    fit = layer.power_law
    return ZooLayer(
        name=layer.name,
        kind=layer.kind,
        N=layer.N,
        M=layer.M,
        min_singular_value=layer.min_singular_value,
        rank_loss_percent=layer.lost_percent,
        alpha=fit.alpha if fit else None,
        D=fit.D if fit else None,
        verdict=layer.verdict,
        causes=tuple(
            ZooCause(x.cause, x.count, x.is_harmless, x.is_lost)
            for x in (layer.evidence.findings if layer.evidence else ())
        ),
    )


def weights_digest(layers: Iterable[LayerResult]) -> str:
    """SHA-256 of the names, shapes and norms of all matrices, equal for equal weights.

    Only the first digits of the norms are used; no two trained models agree in these for every
    matrix.
    """
    digest = hashlib.sha256()
    for layer in layers:
        norms = [_rounded(x) for x in (layer.frobenius_norm, layer.spectral_norm)]
        entry = json.dumps([layer.parameter, layer.part, layer.shape, norms])
        digest.update(entry.encode("ascii"))
    return digest.hexdigest()


def _rounded(number: Any) -> Any:
    return None if number is None else f"{number:.{DIGITS}g}"
