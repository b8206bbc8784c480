"""Zoos for the tests of the zoo's reports, made of reports whose numbers numpy has measured."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from allennlp_analyze.analysis.summary import summarize
from allennlp_analyze.reports.csv import write_csv
from allennlp_analyze.results.layer import LayerResult, ModelReport, ToolInfo
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.zoo.results import (
    DONE,
    FAILED,
    Claim,
    ModelOutcome,
    ZooLayer,
    ZooModel,
    ZooReport,
)
from allennlp_analyze.zoo.summary import summarize_zoo
from tests.support.report_factory import ODD_NAMES, gaussian, heavy_tailed, make_layer, make_report

TOOL = ToolInfo("0.1.0", "3.10.13", None, np.__version__, "1.5", None)
CLAIMS = (
    Claim("80% of alphas are between 2 and 4", "80%", "7 of 9 (78%)", "does not hold"),
    Claim("no layer shows rank collapse", "0", "0 of 9", "holds", data="zoo.csv"),
    Claim("6 of 24 ImageNet matrices are near zero", "6 of 24", "", "not run", "no such model"),
)
REASON = "x.tar.gz: is not a gzip file; download it again"


def zoo_layer(layer: LayerResult, **changes: Any) -> ZooLayer:
    """What a zoo keeps of `layer`."""
    fit = layer.power_law
    kept = ZooLayer(
        layer.name,
        layer.kind,
        layer.N,
        layer.M,
        layer.min_singular_value,
        layer.rank_loss_percent["rounding"],
        fit.alpha if fit else None,
        fit.D if fit else None,
        layer.verdict,
    )
    return replace(kept, **changes)


def done(report: ModelReport, **changes: Any) -> ModelOutcome:
    """The outcome of the model that `report` describes."""
    outcome = ModelOutcome(
        DONE,
        "0" * 64,
        seconds=0.25,
        sha256=report.source.sha256,
        weights="f" * 64,
        resolved=report.source.resolved,
        model_type=report.source.model_type,
        summary=report.summary,
        layers=tuple(zoo_layer(layer) for layer in report.layers),
        warnings=report.warnings,
    )
    return replace(outcome, **changes)


def failed(reason: str = REASON) -> ModelOutcome:
    return ModelOutcome(FAILED, "0" * 64, reason=reason, seconds=0.125)


def make_model(
    outcome: ModelOutcome, name: str = "model", group: str = "group", **changes: Any
) -> ZooModel:
    model = ZooModel(name, group, f"{name}.tar.gz", f"models/{name}", outcome)
    return replace(model, **changes)


def make_zoo(models: Iterable[ZooModel], **changes: Any) -> ZooReport:
    """A zoo of `models` with its summary, and `changes` over it."""
    models = tuple(models)
    report = ZooReport(
        tool=TOOL,
        title="A zoo",
        manifest="zoo.yaml",
        settings={"kinds": None, "jobs": 1, "compare_distributions": False},
        models=models,
        claims=CLAIMS,
        seconds=12.5,
        summary=summarize_zoo(models),
        shows_claims=True,
    )
    return replace(report, **changes)


def layers_zoo(layers: Sequence[ZooLayer], group: str = "group") -> ZooReport:
    """A zoo of one model with exactly these layers."""
    return make_zoo([make_model(done(make_report(), layers=tuple(layers)), group=group)])


def sample_reports() -> "dict[str, ModelReport]":
    """A healthy model, one with zeros and square layers, one that has collapsed, one with nothing
    to judge, and one without layers."""
    zeros = gaussian(60, 20, 7)
    zeros[:, :3] = 0
    healthy = make_report(
        *(make_layer(heavy_tailed(90 + 9 * i, 40, i), f"layer.{i}") for i in range(5)),
        make_layer(heavy_tailed(50, 20, 9), "embedding", kind="embedding"),
    )
    mixed = make_report(
        make_layer(gaussian(40, 40, 1), "square", verdict=Verdict.NOT_ASSESSED),
        make_layer(1e-4 * gaussian(60, 30, 2), "tiny", verdict=Verdict.NEAR_COLLAPSE),
        make_layer(zeros, "zeros"),
        warnings=("the archive has trailing bytes",),
    )
    lost = make_report(
        make_layer(gaussian(40, 3) @ gaussian(3, 20, 1), "rank 3"),
        make_layer(gaussian(30, 1), "scores", verdict=Verdict.NOT_ASSESSED),
        make_layer(np.zeros((20, 12)), "dead"),
    )
    single = make_report(make_layer(gaussian(30, 30, 3), "one", verdict=Verdict.NOT_ASSESSED))
    reports = {
        "healthy": healthy,
        "mixed": mixed,
        "lost": lost,
        "single": single,
        "empty": make_report(),
    }
    return {name: honest(report) for name, report in reports.items()}


def honest(report: ModelReport) -> ModelReport:
    """`report` with the summary that its layers have."""
    return replace(report, summary=summarize(report.layers, report.skipped))


def sample_zoo() -> ZooReport:
    """Five models in three groups that are done, a duplicate and two that failed."""
    reports = sample_reports()
    groups = ("ner", "ner", "parsing", "parsing", "odd")
    models = [
        make_model(done(report), name, group)
        for (name, report), group in zip(reports.items(), groups)
    ]
    again = make_model(done(reports["healthy"]), "again", "ner", duplicate_of="healthy")
    broken = make_model(failed(), "broken", "parsing")
    gone = make_model(failed("https://example.org/a.tar.gz: not found (404)"), "gone", "away")
    return make_zoo([*models, again, broken, gone])


def odd_zoo() -> ZooReport:
    """Every text in it is hostile."""
    layers = [make_layer(heavy_tailed(40, 20, i), name) for i, name in enumerate(ODD_NAMES)]
    report = honest(make_report(*layers, warnings=ODD_NAMES))
    models = []
    for index, name in enumerate(ODD_NAMES):
        of = done(report, warnings=ODD_NAMES, model_type=name, resolved=name)
        outcome = failed(name) if index % 4 == 3 else of
        twin = ODD_NAMES[0] if index % 5 == 4 and outcome is of else None
        models.append(
            make_model(outcome, name, name, directory=f"models/{index}", duplicate_of=twin)
        )
    claims = tuple(Claim(name, name, name, "holds", name, name) for name in ODD_NAMES)
    return make_zoo(models, title=ODD_NAMES[0], manifest=ODD_NAMES[2], claims=claims)


def write_tables(
    report: ZooReport, reports: "dict[str, ModelReport]", root: Path
) -> "dict[str, Path]":
    """The layers.csv of each model that is done, as `run` writes it; their paths by model name.

    `reports` by model name; a duplicate has that of the model it duplicates.
    """
    paths = {}
    for model in report.models:
        if model.outcome.status == DONE:
            directory = root / model.directory
            directory.mkdir(parents=True)
            paths[model.name] = directory / "layers.csv"
            write_csv(reports[model.duplicate_of or model.name], paths[model.name])
    return paths
