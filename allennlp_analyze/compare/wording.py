"""The texts of a comparison: its sentence, and warnings about models that are hard to compare."""

from collections.abc import Iterator, Sequence
from typing import Optional

from allennlp_analyze.compare.results import LayerPair, ModelComparison, Unmatched
from allennlp_analyze.linalg.tridiagonal import TWO_STAGES_FROM
from allennlp_analyze.results.layer import LayerResult, ModelReport, Skipped
from allennlp_analyze.text.counts import count, percent


def comparison_warnings(baseline: ModelReport, candidate: ModelReport, name: str) -> Iterator[str]:
    """Yields what makes the two models hard to compare, and the remedy."""
    ours, theirs = baseline.source, candidate.source
    if ours.sha256 is not None and (ours.sha256, ours.weights_file) == (
        theirs.sha256,
        theirs.weights_file,
    ):
        yield f"A and {name} are the same file"
    if ours.model_type and theirs.model_type and ours.model_type != theirs.model_type:
        yield f"A is a model of type {ours.model_type}, {name} of type {theirs.model_type}"
    versions = baseline.tool.version, candidate.tool.version
    if versions[0] != versions[1]:
        yield (
            f"A was analyzed with version {versions[0]} of this tool, {name} with {versions[1]},"
            " so numbers may differ; analyze both with the same version"
        )
    if ours.walk != theirs.walk:
        built, other = ("A", name) if ours.walk == "modules" else (name, "A")
        yield (
            f"the modules of {built} were built, those of {other} were not,"
            " so kinds and matches may differ"
        )
    solvers = [report.settings.get("eigensolver") for report in (baseline, candidate)]
    # Which library it is matters for large matrices alone.
    large = [any(x.M >= TWO_STAGES_FROM for x in report.layers) for report in (baseline, candidate)]
    if all(solvers) and solvers[0] != solvers[1] and all(large):
        yield (
            f"the eigenvalues of A were computed by {solvers[0]}, those of {name} by {solvers[1]}:"
            " numbers may differ in the last digits; analyze both with the same eigensolver"
        )
    for setting, remedy in _CHOICES.items():
        values = [_choice(report.settings.get(setting)) for report in (baseline, candidate)]
        if values[0] != values[1]:
            yield f"{setting} was {values[0]} for A and {values[1]} for {name}: {remedy}"


_CHOICES = {
    "kinds": "layers of other kinds are missing in one; choose kinds here, too",
    "layers": "layers are missing in one; choose layers here, too",
    "split_gates": "only one has the gates as layers; analyze both in the same way",
    "split_heads": "only one has the heads as layers; analyze both in the same way",
    "max_dim": "large layers may be missing in one; analyze both in the same way",
}


def _choice(value: object) -> str:
    """Formats a setting of a report, from memory or from a file."""
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return ",".join(sorted(map(str, value)))
    return str(value)


def comparison_sentence(
    name: str,
    pairs: Sequence[LayerPair],
    missing: Sequence[Unmatched],
    added: Sequence[Unmatched],
    new_invalid: Sequence[Skipped],
) -> str:
    """Returns the comparison in one sentence; what got worse comes first."""
    if not pairs:
        return f"{name} cannot be compared with A: no layer of A has a counterpart in it."
    found = {
        change: [p for p in pairs if p.change == change]
        for change in ("collapsed", "worse", "recovered", "better")
    }
    findings = []
    if new_invalid:
        single = len(new_invalid) == 1
        holds = "1 matrix contains" if single else f"{len(new_invalid)} matrices contain"
        findings.append(f"{holds} NaN or infinity ({new_invalid[0].parameter})")
    for change, verb in _VERBS.items():
        if found[change]:
            findings.append(
                f"{count(len(found[change]), 'layer')} {verb} ({_named(found[change])})"
            )
    worse = bool(new_invalid or found["collapsed"] or found["worse"])
    resized = [pair for pair in pairs if pair.change == "incomparable"]
    counts = [f"{count(len(resized), 'layer')} changed shape (not comparable)"] if resized else []
    counts += [f"{_are(len(missing))} missing"] if missing else []
    counts += [f"{_are(len(added))} new"] if added else []
    if findings:
        opening = "worse than" if worse else "better than"
        return f"{name} is {opening} A: {'; '.join([*findings, *counts])}."
    compared = len(pairs) - len(resized)
    if not compared:
        return f"{name} cannot be compared with A: {'; '.join(counts)}."
    counts.insert(0, f"no layer got worse or better ({compared} compared)")
    moved = [pair for pair in pairs if pair.same_size and pair.moved != 0.0]
    if not moved and len(counts) == 1:
        return f"{name} has the spectra of A: {count(len(pairs), 'layer')}, none changed."
    if moved:
        farthest = max(moved, key=lambda pair: pair.moved or 0.0)
        counts.append(f"the singular values moved most in {_moved(farthest)}")
    return f"{name} differs from A: {'; '.join(counts)}."


def adapters_sentence(name: str, number: int) -> str:
    """Returns the sentence on a model that has `number` adapters and no layers."""
    return (
        f"{name} has {count(number, 'adapter')} (LoRA) and no layers: only their change of the"
        " layers of A can be measured."
    )


_VERBS = {
    "collapsed": "collapsed",
    "worse": "got worse",
    "recovered": "recovered",
    "better": "got better",
}


def _moved(pair: LayerPair) -> str:
    distance = pair.moved
    return pair.baseline.name + ("" if distance is None else f", by {percent(distance)}")


def _are(number: int) -> str:
    return f"{count(number, 'layer')} {'is' if number == 1 else 'are'}"


def _named(pairs: Sequence[LayerPair]) -> str:
    """Describes the layer that lost or gained most, and why."""
    loss = [pair.measure("lost_percent").difference or 0.0 for pair in pairs]
    first = max(range(len(pairs)), key=lambda index: abs(loss[index]))
    pair = pairs[first]
    before, after, why = pair.baseline, pair.candidate, _why(pair)
    if loss[first] and pair.same_size:
        lost = [layer.lost_directions for layer in (before, after)]
        return f"{before.name}: {lost[1]} of {after.M} directions lost, {lost[0]} in A{why}"
    if loss[first]:
        share = [layer.lost_percent for layer in (before, after)]
        return f"{before.name}: rank loss {share[1]:.3g}%, {share[0]:.3g}% in A{why}"
    smallest = f"smallest singular value {after.min_singular_value:.3g}"
    return f"{before.name}: {after.verdict}, {smallest}, {before.min_singular_value:.3g} in A{why}"


def cause_line(pair: LayerPair) -> Optional[str]:
    """Returns the verdicts on the pair with their causes, before -> after; None if none changed."""
    if not pair.cause_changed:
        return None
    return f"{verdict_in_words(pair.baseline)} -> {verdict_in_words(pair.candidate)}"


def cause_lines(pairs: Sequence[LayerPair]) -> list[str]:
    """Returns a line for each pair of which verdict or causes changed, but not for the worse."""
    others = [pair for pair in pairs if pair.change not in ("collapsed", "worse")]
    lines = ((pair.baseline.name, cause_line(pair)) for pair in others)
    return [f"{name}: {line}" for name, line in lines if line is not None]


def evidence_line(pair: LayerPair) -> str:
    """Returns verdicts and causes of a pair that changed for the worse, and its numbers."""
    before, after = pair.baseline, pair.candidate
    line = cause_line(pair)
    smallest = [f"{layer.min_singular_value:.3g}" for layer in (before, after)]
    parts = [
        line or f"{before.verdict.words} -> {after.verdict.words}",
        f"smallest singular value {' -> '.join(smallest)}",
    ]
    if pair.measure("lost_percent").difference:
        lost = [f"{layer.lost_directions} of {layer.M}" for layer in (before, after)]
        parts.append(f"directions lost {' -> '.join(lost)}")
    return "; ".join(parts)


def verdict_in_words(layer: LayerResult) -> str:
    """Returns the verdict on `layer`, and its reason if there is one."""
    reason = layer.reason
    if not reason and layer.lost_directions:
        reason = f"{layer.lost_directions} of {layer.M} directions lost"
    return f"{layer.verdict.words} ({reason})" if reason else layer.verdict.words


def _why(pair: LayerPair) -> str:
    """The causes in the candidate, or else those in the baseline."""
    for layer, where in ((pair.candidate, ""), (pair.baseline, " in A")):
        findings = layer.evidence.findings if layer.evidence else ()
        causes = dict.fromkeys(x.cause.words for x in findings if x.is_lost and not x.is_harmless)
        if causes:
            return f"; cause{where}: {', '.join(causes)}"
    return ""


def folded_words(comparison: ModelComparison) -> str:
    """Returns how many layers a table folds, and what can be said of all of them."""
    folded = comparison.folded
    layers = count(len(folded), "layer")
    farthest = max((pair.moved or 0.0 for pair in folded), default=0.0)
    if not farthest:
        return f"{layers} that did not change"
    moved = f"whose singular values moved by {percent(farthest)} or less"
    return f"{layers} with the same verdict {moved}"


def short_labels(labels: Sequence[str]) -> list[str]:
    """Returns the ends of paths or URLs, as long as it takes to tell them apart.

    Equal ones stay equal: they are the same model.
    """
    parts = [[part for part in label.split("/") if part] or [label] for label in labels]
    different = {tuple(of) for of in parts}
    longest = max(map(len, parts))
    for length in range(1, longest + 1):
        if len({tuple(of[-length:]) for of in different}) == len(different):
            break
    return ["/".join(of[-length:]) for of in parts]
