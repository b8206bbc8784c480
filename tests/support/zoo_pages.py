"""Zoos for the tests of the page: every state a model can be in, hostile names, and many models."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from allennlp_analyze.results.layer import Summary
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
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
from tests.support.report_factory import ODD_NAMES, make_report

CLAIMS = (
    Claim("alphas are heavy-tailed", "80% in 2-4", "71% in 2-4", "does not hold", "", "zoo.csv"),
    Claim("no collapse", "0 of 69", "0 of 12", "holds", "all of them linear"),
    Claim("six near zero", "6 of 24", "", "not run", "no weights here", "https://example.org/a b"),
)
REASON = "model.tar.gz: cannot be downloaded (404 Not Found)"


def layer(sigma: float, name: str = "layer", **changes: Any) -> ZooLayer:
    """A linear layer with this smallest singular value."""
    plain = ZooLayer(name, "linear", 300, 100, sigma, 0.0, 3.0, 0.05, Verdict.FULL_RANK)
    return replace(plain, **changes)


def summary(layers: Sequence[ZooLayer], verdict: Verdict) -> Summary:
    assessed = [x for x in layers if x.kind == "linear" and x.is_assessed]
    weakest = min(assessed, key=lambda x: x.min_singular_value, default=None)
    alphas = [x.alpha for x in layers if x.alpha is not None]
    counts = Counter(x.verdict for x in layers)
    return Summary(
        verdict=verdict,
        sentence="",
        n_layers=len(layers),
        n_skipped=0,
        n_invalid=0,
        n_assessed=len(assessed),
        layers_by_kind=dict(Counter(x.kind for x in layers)),
        layers_by_verdict={v: counts[v] for v in LAYER_VERDICTS},
        min_singular_value=weakest.min_singular_value if weakest else None,
        min_singular_value_layer=weakest.name if weakest else None,
        max_rank_loss_percent=max((x.rank_loss_percent for x in assessed), default=None),
        mean_alpha=statistics.fmean(alphas) if alphas else None,
        median_alpha=statistics.median(alphas) if alphas else None,
        n_power_law=len(alphas),
    )


def model(
    name: str,
    layers: Sequence[ZooLayer] = (),
    verdict: Verdict = Verdict.FULL_RANK,
    group: str = "one",
    duplicate_of: Optional[str] = None,
    **outcome: Any,
) -> ZooModel:
    """A model that is done, unless `outcome` says otherwise."""
    found = ModelOutcome(
        DONE, "0", seconds=1.25, summary=summary(layers, verdict), layers=tuple(layers)
    )
    slug = f"models/{sum(name.encode('utf-8', 'backslashreplace')):06d}"
    return ZooModel(name, group, f"{name}.tar.gz", slug, replace(found, **outcome), duplicate_of)


def failed(name: str, reason: Optional[str] = REASON, group: str = "one") -> ZooModel:
    return model(name, group=group, status=FAILED, reason=reason, summary=None)


def zoo(models: Iterable[ZooModel], claims: Sequence[Claim] = (), title: str = "zoo") -> ZooReport:
    report = make_report()
    models = tuple(models)
    return ZooReport(
        report.tool,
        title,
        "zoo.yaml",
        report.settings,
        models,
        tuple(claims),
        2.5,
        summarize_zoo(models),
        shows_claims=bool(claims),
    )


def every_state() -> ZooReport:
    """Eight models, one of each state and a healthy one more, in two groups."""
    lost = layer(0.0, "out", rank_loss_percent=3.125, verdict=Verdict.COLLAPSED, alpha=None, D=None)
    wide = layer(0.001, "square", N=100, verdict=Verdict.NOT_ASSESSED, alpha=5.5)
    other = layer(1e-9, "embedding", kind="embedding", alpha=1.5)
    return zoo(
        [
            model("healthy", [layer(0.5), layer(0.25, "in", alpha=2.0), other]),
            model("collapsed", [lost, layer(0.75)], Verdict.COLLAPSED, "two"),
            model(
                "near",
                [layer(0.005, verdict=Verdict.NEAR_COLLAPSE, alpha=21.0)],
                Verdict.NEAR_COLLAPSE,
            ),
            model("square", [wide], Verdict.NOT_ASSESSED, "two"),
            model("invalid", [layer(0.125)], Verdict.INVALID),
            failed("broken", group="two"),
            model("again", [layer(0.5), layer(0.25, "in")], duplicate_of="healthy"),
            model("small", [layer(1.2345678e-5, "tiny", alpha=4.0)], group="two"),
        ],
        CLAIMS,
    )


def hostile(name: str) -> ZooReport:
    """`name` wherever a stranger's text may stand."""
    claim = Claim(name, name, name, "holds", name, name)
    one = layer(0.0, name, rank_loss_percent=1.0)
    return replace(
        zoo(
            [
                model(name, [one], group=name),
                model("x", [one], group=name, duplicate_of=name),
                failed("y", name, name),
            ],
            [claim],
            name,
        ),
        manifest=name,
        settings={"layers": name},
    )


def hostile_names() -> ZooReport:
    """A group, a model and a layer for each odd name."""
    return zoo(
        [model(name, [layer(0.1 + 0.1 * i, name)], group=name) for i, name in enumerate(ODD_NAMES)]
        + [failed(f"failed {i}", name, name) for i, name in enumerate(ODD_NAMES)]
    )


def many(models: int, layers: int = 1, groups: int = 9, seed: int = 0) -> ZooReport:
    """Random numbers of the usual size under names as long as real ones."""
    rng = np.random.default_rng(seed)
    names = [f"encoder.layers.{i}.attention.projection" for i in range(layers)]
    sigma = rng.gamma(2, 0.1, (models, layers)) * (rng.random((models, layers)) > 0.01)
    alpha = rng.lognormal(1.1, 0.3, (models, layers))
    Q = rng.choice([1, 2, 4, 8], (models, layers))

    def one(i: int) -> ZooModel:
        of = [
            layer(
                float(sigma[i, j]),
                names[j],
                N=100 * int(Q[i, j]),
                alpha=float(alpha[i, j]),
                rank_loss_percent=0.0 if sigma[i, j] else 1.0,
                verdict=Verdict.NOT_ASSESSED if Q[i, j] == 1 else Verdict.FULL_RANK,
            )
            for j in range(layers)
        ]
        made = model(f"organization-{i % 100}/model-{i:06d}", of, group=f"group {i % groups}")
        return replace(made, directory=f"models/organization-{i % 100}-model-{i:06d}")

    return zoo((one(i) for i in range(models)), title=f"{models} models")
