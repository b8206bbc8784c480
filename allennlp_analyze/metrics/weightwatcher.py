"""The columns of WeightWatcher, and what is the same here: for scripts that were written for it.

Its eigenvalues, like ours, are squared singular values, not divided by N. Its definitions are those
of version 0.7.7.
"""

import math
from dataclasses import dataclass
from typing import Any, Callable, Optional

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import FLOAT, TEXT, WHOLE
from allennlp_analyze.results.layer import LayerResult

_METRICS = {metric.key: metric for metric in CATALOGUE}
# Eigenvalues below this one are its `weak_rank_loss`.
WEAK = 1e-6


@dataclass(frozen=True)
class PeerColumn:
    """A column of WeightWatcher's data frame, read from a layer by `read`.

    `ours` says in Markdown what it is here. A `note` says where the values of the two can differ;
    without one they are equal. `option` is the keyword with which WeightWatcher computes it.
    """

    name: str
    kind: str
    ours: str
    read: Callable[[LayerResult], Any]
    note: str = ""
    option: str = ""


def _same(name: str, key: str, note: str = "", option: str = "") -> PeerColumn:
    """Returns a column that is a metric of the catalogue."""
    metric = _METRICS[key]
    return PeerColumn(name, metric.kind, f"`{metric.names[0]}`", metric.read, note, option)


def _squared(value: Optional[float]) -> Optional[float]:
    return None if value is None else value**2


def _lambda_max(layer: LayerResult) -> float:
    return layer.max_singular_value**2


def _scale(layer: LayerResult) -> Optional[float]:
    """The factor with which the mean eigenvalue would be 1."""
    return math.sqrt(layer.M) / layer.frobenius_norm if layer.frobenius_norm else None


def _scaled_sigma(layer: LayerResult) -> Optional[float]:
    scale = _scale(layer)
    if scale is None or layer.mp_sigma is None:
        return None
    return layer.mp_sigma * math.sqrt(layer.N) * scale


_FITS = "it gives -1 where nothing can be fitted, and another fit to fewer than 20 eigenvalues"
_BULK = "another fit: ours gives spikes no weight"
_RANK = "its tolerance has the eps of float64 whatever the weights are, so it misses lost rank"
_CONVOLUTION = "of a convolution it takes slices, we the whole as out × (in · kernel)"

COLUMNS: tuple[PeerColumn, ...] = (
    PeerColumn(
        "name", TEXT, "the last part of `name`", lambda layer: layer.name.rpartition(".")[2]
    ),
    _same("longname", "name"),
    _same("layer_type", "kind", "our words for the kinds: `linear` for its `dense`"),
    _same("D", "power_law.D", _FITS),
    _same("M", "M", _CONVOLUTION),
    _same("N", "N", _CONVOLUTION),
    _same("Q", "Q", _CONVOLUTION),
    _same("alpha", "power_law.alpha", _FITS),
    _same("alpha_weighted", "alpha_weighted", _FITS),
    _same("entropy", "entropy", "712.8 for a matrix of rank 1, which has 0"),
    PeerColumn("lambda_max", FLOAT, "`max_singular_value`²", _lambda_max),
    _same("log_alpha_norm", "log_alpha_norm", _FITS),
    _same("log_norm", "log_norm"),
    _same("log_spectral_norm", "log_spectral_norm"),
    _same("matrix_rank", "hard_rank.numpy", _RANK),
    PeerColumn("norm", FLOAT, "`frobenius_norm`²", lambda layer: _squared(layer.frobenius_norm)),
    PeerColumn("num_evals", WHOLE, "`M`", lambda layer: layer.M),
    _same("num_pl_spikes", "power_law.n_tail", _FITS),
    PeerColumn(
        "rank_loss",
        WHOLE,
        "`M` - `hard_rank_numpy`",
        lambda layer: layer.M - layer.hard_rank.numpy,
        _RANK,
    ),
    _same("sigma", "power_law.sigma", _FITS),
    PeerColumn(
        "spectral_norm", FLOAT, "`max_singular_value`²; our `spectral_norm` is σ_max", _lambda_max
    ),
    _same("stable_rank", "stable_rank"),
    _same("sv_max", "max_singular_value"),
    _same("sv_min", "min_singular_value", "it casts float64 to float32"),
    PeerColumn(
        "weak_rank_loss",
        WHOLE,
        f"the number of `eigenvalues` < {WEAK:g}",
        lambda layer: int((layer.eigenvalues < WEAK).sum()),
    ),
    PeerColumn("xmax", FLOAT, "`max_singular_value`²", _lambda_max, "missing without a fit"),
    _same("xmin", "power_law.xmin", _FITS),
    _same("bulk_max", "marchenko_pastur.lambda_plus", _BULK, "mp_fit"),
    _same("bulk_min", "marchenko_pastur.lambda_minus", _BULK, "mp_fit"),
    _same("mp_softrank", "marchenko_pastur.soft_rank", _BULK, "mp_fit"),
    _same("num_spikes", "marchenko_pastur.n_spikes", _BULK, "mp_fit"),
    PeerColumn(
        "sigma_mp", FLOAT, "`mp_sigma` · √N · its `W_scale`", _scaled_sigma, _BULK, "mp_fit"
    ),
    PeerColumn("W_scale", FLOAT, "√`M` / `frobenius_norm`", _scale, option="mp_fit"),
)
KINDS = {"layer_id": WHOLE, **{column.name: column.kind for column in COLUMNS}}


def peer_row(index: int, layer: LayerResult) -> dict[str, Any]:
    """Returns the columns of a layer; `index` is its place in the report, from 0.

    WeightWatcher counts modules instead, from 1, those without a matrix included.
    """
    return {"layer_id": index, **{column.name: column.read(layer) for column in COLUMNS}}
