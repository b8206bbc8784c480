"""Follows each layer through the reports of a series' checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.series.results import State, Track


@dataclass(frozen=True)
class Measured:
    """One layer at one checkpoint: its kind, shape and state."""

    kind: str
    shape: tuple[int, int]
    state: State


def measured(layer: LayerResult) -> Measured:
    """Returns what a series keeps of a layer; its rms is not compared yet."""
    evidence = layer.evidence
    return Measured(
        layer.kind,
        (layer.shape[0], layer.shape[1]),
        State(
            verdict=layer.verdict,
            lost_directions=layer.lost_directions,
            harmless_directions=evidence.harmless_directions if evidence else 0,
            min_singular_value=layer.min_singular_value,
            null_ratio=evidence.null_ratio if evidence else None,
            stable_rank=layer.stable_rank,
            effective_rank=layer.effective_rank,
            alpha=layer.power_law.alpha if layer.power_law else None,
            spectral_norm=layer.spectral_norm,
            rms=layer.rms,
            rms_ratio=None,
            reason=layer.reason,
        ),
    )


def tracks_of(checkpoints: Sequence[Optional[Mapping[str, Measured]]]) -> tuple[Track, ...]:
    """Returns each layer over time, in the order of the first checkpoint that has it.

    `checkpoints` has the layers of each one by name, None if its analysis failed.
    """
    names = dict.fromkeys(name for layers in checkpoints if layers for name in layers)
    return tuple(
        _track(name, [(layers or {}).get(name) for layers in checkpoints]) for name in names
    )


def _track(name: str, found: Sequence[Optional[Measured]]) -> Track:
    known = [one for one in found if one is not None]
    first = next((x.state.rms for x in known if x.state.rms), None)
    return Track(
        layer=name,
        kind=known[-1].kind,
        M=min(known[-1].shape),
        shape=known[-1].shape,
        states=tuple(None if one is None else _beside(one.state, first) for one in found),
    )


def _beside(state: State, first: Optional[float]) -> State:
    if first is None or state.rms is None:
        return state
    return replace(state, rms_ratio=state.rms / first)
