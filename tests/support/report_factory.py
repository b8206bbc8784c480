"""Reports for the tests of the report formats, measured by numpy on real matrices."""

from dataclasses import asdict, replace
from typing import Any, Optional

import numpy as np

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.results.layer import (
    HardRank,
    LayerResult,
    MarchenkoPastur,
    ModelReport,
    PowerLaw,
    Skipped,
    SourceInfo,
    Summary,
    Tikhonov,
    Timing,
    Tolerances,
    ToolInfo,
)
from allennlp_analyze.results.reference import (
    NumberAgreement,
    ReferenceComparison,
    ReferenceNumbers,
    ReferenceRow,
    ReferenceTolerance,
)
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.settings import Settings

ODD_NAMES = (
    "<script>alert(1)</script>",
    "[red]x[/red]",
    "two\nlines\x1b[31m\r\tred",
    "../../etc/passwd",
    "a/b[gate]",
    "=HYPERLINK(1)",
    "couche_é_层_😀",
    "$\\alpha$ and $",
    "nul\0 and surrogate \ud800 and \u202ertl",
    "file",
    "deep." * 40 + "linear",
    "",
)


def gaussian(rows: int, columns: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((rows, columns))


def heavy_tailed(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Gaussian entries whose columns are scaled by a Pareto variable."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, columns)) * (1 + rng.pareto(1.5, columns))


SCALARS = {metric.key for metric in CATALOGUE if metric.compute is not None}


def make_layer(matrix: np.ndarray, name: str = "layer", **changes: Any) -> LayerResult:
    """A `LayerResult` with numpy's singular values, simple theory, and `changes` over it.

    `changes` are fields, or scalars by their keys in the catalogue.
    """
    s = np.linalg.svd(matrix, compute_uv=False)
    M, N = min(matrix.shape), max(matrix.shape)
    eps = float(np.finfo(np.float64).eps)
    tolerance = Tolerances(
        s[0] * N * eps, s[0] * eps / 2 * np.sqrt(M + N + 1), 1e-3, s[0] * N * eps * 4
    )
    rank = HardRank(
        *(
            int((s > t).sum())
            for t in (
                tolerance.numpy,
                tolerance.numerical_recipes,
                tolerance.loose,
                tolerance.rounding,
            )
        )
    )
    total = float((s**2).sum())
    metrics = {
        "condition_number": float(s[0] / s[-1]) if s[-1] > 0 else None,
        "frobenius_norm": float(np.linalg.norm(matrix)),
        "stable_rank": total / float(s[0]) ** 2 if s[0] > 0 else None,
        "effective_rank": None,
        "entropy": 0.5,
        "log_norm": float(np.log10(total)) if total > 0 else None,
        "log_spectral_norm": None,
        "alpha_weighted": None,
        "log_alpha_norm": None,
    }
    layer = LayerResult(
        name=name,
        parameter=name + ".weight",
        part=None,
        module_index=None,
        kind="linear",
        kind_source="inferred",
        module_class=None,
        shape=(matrix.shape[0], matrix.shape[1]),
        dtype="float64",
        singular_values=s,
        hard_rank=rank,
        tolerance=tolerance,
        metrics={
            **dict.fromkeys(SCALARS),
            **metrics,
            **{key: changes.pop(key) for key in SCALARS & set(changes)},
        },
        marchenko_pastur=marchenko_pastur(matrix, s),
        tikhonov=Tikhonov(1.0, M - 1, 1, 0.9, 0.1) if M > 1 else None,
        power_law=power_law(s**2),
        power_law_note=None if M >= 10 else "fewer than 10 positive eigenvalues",
        verdict=Verdict.FULL_RANK if rank.numpy == M else Verdict.COLLAPSED,
    )
    return replace(layer, **changes)


def marchenko_pastur(matrix: np.ndarray, s: np.ndarray) -> Optional[MarchenkoPastur]:
    M, N = min(matrix.shape), max(matrix.shape)
    if M < 2 or not s[0] > 0:
        return None
    sigma = float(np.median(s) / np.sqrt(N))
    low, high = (sigma**2 * (np.sqrt(N) + sign * np.sqrt(M)) ** 2 for sign in (-1, 1))
    spikes = int((s**2 > 1.1 * high).sum())
    rms = float(np.sqrt((matrix**2).mean()))
    return MarchenkoPastur(
        sigma,
        float(low),
        float(high),
        float(1.1 * high),
        spikes,
        float(high / s[0] ** 2),
        rms,
        float(low),
        float(high),
    )


def power_law(eigenvalues: np.ndarray) -> Optional[PowerLaw]:
    """Maximum likelihood over the upper half (not the product's choice of xmin)."""
    positive = eigenvalues[eigenvalues > 1e-20]
    tail = positive[: max(2, len(positive) // 2)]
    if len(positive) < 10 or tail[0] < 1.0001 * tail[-1]:
        return None
    alpha = 1 + len(tail) / float(np.log(tail / tail[-1]).sum())
    return PowerLaw(alpha, 0.05, float(tail[-1]), (alpha - 1) / len(tail) ** 0.5, len(tail))


def make_report(*layers: LayerResult, **changes: Any) -> ModelReport:
    """A report of `layers` with an honest summary, and `changes` over it."""
    alphas = [layer.power_law.alpha for layer in layers if layer.power_law]
    smallest = min(layers, key=lambda layer: layer.min_singular_value, default=None)
    report = ModelReport(
        tool=ToolInfo("0.1.0", "3.10.13", None, np.__version__, "1.5", None),
        source=SourceInfo("model.tar.gz", "model.tar.gz", "0" * 64, "weights.th", None, "weights"),
        settings=asdict(Settings(eigensolver="openblas")),
        layers=layers,
        skipped=(Skipped("bias", (3,), "one-dimensional"), Skipped("step", (), "int64")),
        summary=Summary(
            verdict=Verdict.FULL_RANK,
            sentence="Full rank: none of the assessed linear layers has lost rank.",
            n_layers=len(layers),
            n_skipped=2,
            n_invalid=0,
            n_assessed=len(layers),
            layers_by_kind={"linear": len(layers)},
            layers_by_verdict={Verdict.FULL_RANK: len(layers)},
            min_singular_value=smallest.min_singular_value if smallest else None,
            min_singular_value_layer=smallest.name if smallest else None,
            max_rank_loss_percent=0.0,
            mean_alpha=float(np.mean(alphas)) if alphas else None,
            median_alpha=float(np.median(alphas)) if alphas else None,
            n_power_law=len(alphas),
        ),
        timing=Timing(0.1, 0.2, 0.3, 0.4),
    )
    return replace(report, **changes)


def make_reference(layer: LayerResult) -> ReferenceComparison:
    """`layer` beside a row of the same numbers, a row without a layer, and a layer without one."""
    fit = layer.power_law
    side = ReferenceNumbers(
        layer.name,
        layer.module_index,
        layer.M,
        layer.N,
        None if fit is None else fit.alpha,
        None if fit is None else fit.D,
        layer.min_singular_value,
    )
    other = ReferenceNumbers(module_index=7, M=2, N=3, min_singular_value=0.5)
    return ReferenceComparison(
        name="table.csv",
        title="a table of the user's",
        archive=None,
        verdict="incomplete",
        sentence="Incomplete: 1 of 2 rows of table.csv agrees and 1 has no layer here (module 7).",
        tolerance=ReferenceTolerance(1e-5, 1e-6, 1e-7, 1e-2),
        rows=(
            ReferenceRow(1, side, side, "agrees", NumberAgreement(*["agrees"] * 5)),
            ReferenceRow(2, other, None, "missing", None),
            ReferenceRow(None, None, replace(side, name="more"), "extra", None),
        ),
    )


def odd_report() -> ModelReport:
    """One layer per odd name, some of them with nothing defined."""
    layers = [make_layer(gaussian(24, 12, seed), name) for seed, name in enumerate(ODD_NAMES)]
    bare = make_layer(np.zeros((4, 3)), "zeros", tikhonov=None, entropy=None)
    return make_report(*layers, bare, warnings=("line one\nline two",))
