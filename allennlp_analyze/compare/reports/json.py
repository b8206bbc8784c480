"""Writes compare.json: the whole comparison as JSON."""

import json
from pathlib import Path
from typing import Any, Union

from allennlp_analyze.compare.delta_wording import delta_sentence
from allennlp_analyze.compare.results import (
    AttentionGrowth,
    ComparedModel,
    ComparisonReport,
    Difference,
    LayerDelta,
    LayerPair,
    ModelComparison,
    Unmatched,
)
from allennlp_analyze.compare.wording import cause_line
from allennlp_analyze.data import read_schema
from allennlp_analyze.reports.json import plain
from allennlp_analyze.storage.files import write_text

SCHEMA_VERSION = 1
# The singular values of a change that are written: the largest ones.
MOST_VALUES = 64
# The settings that decide which layers a report contains.
SETTINGS = ("kinds", "layers", "split_gates", "split_heads", "max_dim")


def comparison_to_dict(report: ComparisonReport) -> dict[str, Any]:
    """Returns the comparison as plain dicts, lists, strings and finite numbers, or None.

    The layout is that of compare.schema.json. Numbers keep their full precision.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": plain(report.tool),
        "allowed_rank_loss": report.allowed_rank_loss,
        "baseline": _model(report.baseline),
        "candidates": [_candidate(comparison) for comparison in report.candidates],
    }


def comparison_text(report: ComparisonReport) -> str:
    """Returns compare.json as ASCII text."""
    return json.dumps(comparison_to_dict(report), indent=2, allow_nan=False) + "\n"


def write_comparison(report: ComparisonReport, path: Union[str, Path]) -> None:
    """Write compare.json. Raises `OutputError`."""
    write_text(path, comparison_text(report))


def comparison_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of compare.json."""
    return read_schema("compare")


def _model(model: ComparedModel) -> dict[str, Any]:
    summary = model.report.summary
    return {
        "label": model.label,
        "archive": model.report.source.archive,
        "sha256": model.report.source.sha256,
        "tool_version": model.report.tool.version,
        "settings": {name: plain(model.report.settings.get(name)) for name in SETTINGS},
        "n_layers": summary.n_layers,
        "verdict": plain(summary.verdict),
        "sentence": summary.sentence,
    }


def _candidate(comparison: ModelComparison) -> dict[str, Any]:
    return {
        "letter": comparison.letter,
        "model": _model(comparison.candidate),
        "sentence": comparison.sentence,
        "counts": comparison.counts,
        "worse": plain(comparison.worse),
        "failures": plain(comparison.failures),
        "warnings": plain(comparison.warnings),
        "pairs": [_pair(pair) for pair in comparison.pairs],
        "missing": [_unmatched(layer) for layer in comparison.missing],
        "added": [_unmatched(layer) for layer in comparison.added],
        "new_invalid": [
            {"parameter": tensor.parameter, "shape": list(tensor.shape), "reason": tensor.reason}
            for tensor in comparison.new_invalid
        ],
        "attention": [_growth(block) for block in comparison.attention],
        "deltas_sentence": comparison.deltas_sentence,
        "deltas": None if comparison.deltas is None else list(map(_delta, comparison.deltas)),
    }


def _growth(block: AttentionGrowth) -> dict[str, Any]:
    return {**plain(block), "ratios": plain(block.ratios)}


def _delta(change: LayerDelta) -> dict[str, Any]:
    delta = change.delta
    found = None
    if delta is not None:
        # All values of all layers would be a file of many megabytes.
        found = {**plain(delta), "singular_values": plain(delta.singular_values[:MOST_VALUES])}
    return {
        "baseline": change.name,
        "candidate": change.candidate,
        "is_adapter": change.is_adapter,
        "sentence": delta_sentence(change),
        "reason": change.reason,
        "delta": found,
    }


def _pair(pair: LayerPair) -> dict[str, Any]:
    return {
        "baseline": pair.baseline.name,
        "candidate": pair.candidate.name,
        "matched_by": pair.matched_by,
        "kind": pair.baseline.kind,
        "baseline_shape": list(pair.baseline.shape),
        "candidate_shape": list(pair.candidate.shape),
        "same_size": pair.same_size,
        "incomparable": pair.incomparable or None,
        "baseline_verdict": plain(pair.baseline.verdict),
        "candidate_verdict": plain(pair.candidate.verdict),
        "baseline_reason": pair.baseline.reason,
        "candidate_reason": pair.candidate.reason,
        "change": pair.change,
        "cause_change": cause_line(pair),
        "spectral_distance": plain(pair.spectral_distance),
        "ks_distance": plain(pair.ks_distance),
        "differences": {name: _difference(d) for name, d in pair.differences.items()},
        "new_warnings": list(pair.new_warnings),
        "gone_warnings": list(pair.gone_warnings),
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "baseline": plain(difference.baseline),
        "candidate": plain(difference.candidate),
        "difference": plain(difference.difference),
        "ratio": plain(difference.ratio),
    }


def _unmatched(unmatched: Unmatched) -> dict[str, Any]:
    return {
        "name": unmatched.layer.name,
        "kind": unmatched.layer.kind,
        "shape": list(unmatched.layer.shape),
        "verdict": plain(unmatched.layer.verdict),
        "reason": unmatched.reason,
        "invalid": unmatched.invalid,
    }
