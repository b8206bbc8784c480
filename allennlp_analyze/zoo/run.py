"""Runs a zoo: analyzes each model as its own unit, in parallel and resumable, and reports all."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.choosing import require_eigensolver
from allennlp_analyze.analysis.request import Building, Limits
from allennlp_analyze.engine.running import EngineLost
from allennlp_analyze.errors import Advice, OptionError, OutputError
from allennlp_analyze.options.choices import check_fields, default
from allennlp_analyze.options.figures import figure_format
from allennlp_analyze.reports.json import plain
from allennlp_analyze.settings import Settings
from allennlp_analyze.storage.files import check_directory
from allennlp_analyze.storage.locks import LOCK
from allennlp_analyze.storage.paths import absolute
from allennlp_analyze.text.redaction import redacted_url
from allennlp_analyze.zoo.claims import zoo_claims
from allennlp_analyze.zoo.earlier import earlier_outcomes
from allennlp_analyze.zoo.manifest.reading import (
    Choices,
    Manifest,
    ZooEntry,
    model_choices,
    read_manifest,
    slugs,
)
from allennlp_analyze.zoo.reports.csv import write_zoo_layers, write_zoo_models
from allennlp_analyze.zoo.reports.html import write_zoo_html
from allennlp_analyze.zoo.reports.json import write_zoo_json
from allennlp_analyze.zoo.reports.plots import PLOTS, remove_zoo_plots, write_zoo_plots
from allennlp_analyze.zoo.results import DONE, ModelOutcome, ZooModel, ZooReport
from allennlp_analyze.zoo.runs import runs_listed
from allennlp_analyze.zoo.summary import summarize_zoo
from allennlp_analyze.zoo.unit import Unit, make_unit
from allennlp_analyze.zoo.work import RUNNING, analyze_units, engine_for, only_run_of, stopped

ZOO, LAYERS, MODELS_TABLE, PAGE = "zoo.json", "zoo.csv", "zoo-models.csv", "index.html"
MODELS = "models"
GO_ON_OR_ANEW = (
    Advice("resume", "use {} to continue it", switch=True),
    Advice("force", "or {} to start over", switch=True),
)


@dataclass(frozen=True)
class ZooRequest:
    """Which models to analyze and where to write.

    `manifest` is the argument of `read_manifest`. `limits`, `building`, `model_plots` (the figures
    of each model) and `plot_format` apply to all models; the options of a model in the manifest
    take precedence. `plots` are the figures over all models, also drawn if `model_plots` or a
    `plot_format` is given. With `claims`, page and terminal have the claims of the 2018 study.
    With `every_checkpoint`, every checkpoint of a training is a model of its own.
    Without `quiet`, a terminal shows the progress. With `resume`, finished models are kept; with
    `retry_failed`, failed ones are also retried; `force` starts over. `workers` None means one
    process per core. `dask` is the address of a scheduler on whose cluster the models are analyzed.
    Raises `UsageError` for invalid options.
    """

    manifest: str
    directory: Path
    force: bool = default("force")
    resume: bool = default("resume")
    retry_failed: bool = default("retry_failed")
    workers: Optional[int] = default("workers")
    dask: Optional[str] = default("dask")
    limits: Limits = field(default_factory=Limits)
    building: Building = field(default_factory=Building)
    plots: Optional[bool] = default("plots")
    model_plots: bool = default("model_plots")
    plot_format: Optional[str] = default("plot_format")
    claims: bool = default("claims")
    every_checkpoint: bool = default("every_checkpoint")
    quiet: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        figure_format(self.plots, self.plot_format)
        if self.dask is not None and self.workers is not None:
            raise OptionError(
                "workers",
                "applies to this machine only",
                Advice("dask", "with {} the cluster sets its own number"),
            )
        if self.force and (self.resume or self.retry_failed):
            raise OptionError("force", "starts over; omit it to resume")

    @property
    def figures(self) -> Optional[str]:
        """The format of the figures over all models, or None if none are drawn."""
        return figure_format(self.plots or self.model_plots or None, self.plot_format)


@dataclass(frozen=True)
class ZooOutcome:
    """The report and the paths that were written."""

    report: ZooReport
    written: tuple[Path, ...]


def zoo_name(manifest: str) -> str:
    """Returns the name of a manifest's output directory: its last part without the ending."""
    name = re.sub(r"\.(ya?ml|csv)$", "", Path(manifest).name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-") or "zoo"


def run_zoo(zoo: ZooRequest, settings: Settings) -> ZooOutcome:
    """Analyze every model of the manifest and write the zoo's reports.

    A failed model is recorded, and the others continue. Finished models survive the process: the
    same call with `resume` does the rest. Raises `UsageError` before any work if the manifest is
    invalid, and `OutputError` if the directory cannot be written or contains a zoo. A
    `KeyboardInterrupt` says what is kept.
    """
    started = time.perf_counter()
    manifest = read_manifest(zoo.manifest, zoo.every_checkpoint)
    root = zoo.directory
    units = _units(manifest, zoo, settings)
    for unit in units if zoo.dask is None else ():
        require_eigensolver(unit.settings)
    _check_output(root, zoo)
    engine = engine_for(zoo.workers, zoo.dask, len(units))
    with only_run_of(root) as token:
        outcomes = {} if zoo.force else earlier_outcomes(units, zoo.retry_failed)
        try:
            analyze_units(units, outcomes, token, engine, zoo.quiet)
        except (KeyboardInterrupt, EngineLost) as stop:
            raise stopped(stop, root, len(outcomes), len(units)) from None
        report = _report(manifest, units, outcomes, zoo, settings)
        report = replace(report, seconds=time.perf_counter() - started)
        return ZooOutcome(report, tuple(_write(report, root, zoo.figures)))


def _units(manifest: Manifest, zoo: ZooRequest, settings: Settings) -> list[Unit]:
    """Returns the units of all models in the manifest, after checking them."""
    shared = Choices(
        settings, zoo.limits, zoo.building, plots=zoo.model_plots, plot_format=zoo.plot_format
    )
    directory = zoo.directory.absolute() / MODELS
    chosen = [
        _anywhere(entry, model_choices(entry, shared), zoo.dask is not None)
        for entry in manifest.entries
    ]
    return [
        make_unit(entry, choices, directory / name, resume=not zoo.force)
        for (entry, choices), name in zip(chosen, slugs(manifest.entries))
    ]


def _anywhere(entry: ZooEntry, choices: Choices, cluster: bool) -> tuple[ZooEntry, Choices]:
    """Make paths absolute for a cluster, and use one core per worker."""
    if not cluster:
        return entry, choices
    settings = replace(choices.settings, jobs=choices.settings.jobs or 1)
    return replace(entry, archive=absolute(entry.archive)), replace(
        choices,
        settings=settings,
        weights_file=absolute(choices.weights_file),
        reference=absolute(choices.reference),
    )


def _check_output(root: Path, zoo: ZooRequest) -> None:
    """Check before any work that the zoo can be written and replaces none by accident."""
    folders = (MODELS, PLOTS) if zoo.figures else (MODELS,)
    check_directory(root, (ZOO, LAYERS, MODELS_TABLE, PAGE, RUNNING, LOCK), folders)
    begun = (root / ZOO).exists() or (root / MODELS).exists()
    if begun and not (zoo.force or zoo.resume or zoo.retry_failed):
        raise OutputError(f"{root}: a zoo already exists", *GO_ON_OR_ANEW)


def _report(
    manifest: Manifest,
    units: Sequence[Unit],
    outcomes: Mapping[int, ModelOutcome],
    zoo: ZooRequest,
    settings: Settings,
) -> ZooReport:
    runs = manifest.runs
    if manifest.is_listed and not zoo.every_checkpoint:
        runs = runs_listed(manifest.entries, outcomes)
    stands_for = {name: run.model for run in runs for name in run.listed}
    first: dict[Optional[str], str] = {}
    models = []
    for index, (entry, unit) in enumerate(zip(manifest.entries, units)):
        outcome, counted = outcomes[index], stands_for.get(entry.name)
        models.append(
            ZooModel(
                name=entry.name,
                group=entry.group,
                archive=redacted_url(entry.archive),
                directory=f"{MODELS}/{unit.directory.name}",
                outcome=outcome,
                duplicate_of=None if counted else _same(outcome, entry.name, first),
                checkpoint_of=counted,
            )
        )
    return ZooReport(
        tool=tool_info(),
        title=manifest.title,
        manifest=manifest.source,
        settings=_settings(zoo, settings),
        models=tuple(models),
        claims=zoo_claims([model for model in models if model.is_counted]),
        summary=summarize_zoo(models),
        trainer_files=manifest.trainer_files,
        unread=manifest.unread,
        shows_claims=zoo.claims,
        runs=runs,
    )


def _same(outcome: ModelOutcome, name: str, first: dict[Optional[str], str]) -> Optional[str]:
    """Returns the earlier model with the same file or weights; `first` has models by digest."""
    if outcome.status != DONE:
        return None
    digests = [digest for digest in (outcome.sha256, outcome.weights) if digest is not None]
    earlier = next((first[digest] for digest in digests if digest in first), None)
    for digest in digests:
        first.setdefault(digest, earlier or name)
    return earlier


def _settings(zoo: ZooRequest, settings: Settings) -> dict[str, object]:
    """Returns the settings of all models for the report."""
    return {
        **plain(settings),
        "build_model": zoo.building.build_model,
        "plots": zoo.figures is not None,
        "model_plots": zoo.model_plots,
        "every_checkpoint": zoo.every_checkpoint,
        "timeout": zoo.limits.timeout,
        "max_unpacked_size": zoo.limits.max_unpacked_size,
    }


def _write(report: ZooReport, root: Path, figures: Optional[str]) -> Iterator[Path]:
    """Write the numbers, then the page, then the figures; yields each path once it is written.

    Figures of an earlier run are removed, because they show other numbers.
    """
    remove_zoo_plots(root)
    write_zoo_json(report, root / ZOO)
    yield root / ZOO
    write_zoo_layers(report, root, root / LAYERS)
    yield root / LAYERS
    write_zoo_models(report, root / MODELS_TABLE)
    yield root / MODELS_TABLE
    yield write_zoo_html(report, root / PAGE)
    if figures is not None:
        write_zoo_plots(report, root, figures)
        yield root / PLOTS
