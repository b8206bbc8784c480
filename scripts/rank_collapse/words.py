"""Describes the rank-collapse experiment: formatted numbers, and its results in sentences."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from allennlp_analyze.reports.figures.style import SUPERSCRIPTS
from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict, worst
from allennlp_analyze.text.counts import count
from scripts.rank_collapse.results import (
    HIDDEN,
    Experiment,
    TikhonovDemonstration,
    TikhonovStep,
    TrainedNetwork,
)


@dataclass(frozen=True)
class TableRow:
    """The texts of one hidden layer of a network, at the start and at the end."""

    layer: str
    verdict: str
    word: str
    smallest_before: str
    smallest: str
    lost: str
    stable_rank: str


@dataclass(frozen=True)
class NetworkRows:
    """One network: its common texts and its rows; the verdict is the worst of its layers."""

    l2: str
    decay: str
    remains: str
    accuracy: str
    note: str
    rows: tuple[TableRow, ...]


def l2_text(l2: float) -> str:
    """Formats `l2` as typed: 1e-3, 3.2e-4, 0.5, 0."""
    mantissa, exponent = _parts(l2)
    return f"{l2:.3g}" if -2 < exponent < 3 else f"{mantissa:g}e{exponent}"


def l2_label(l2: float) -> str:
    """Formats `l2` for figures: 10 to the -3, 3.2 times 10 to the -4, 0.5, 0."""
    mantissa, exponent = _parts(l2)
    if -2 < exponent < 3:
        return f"{l2:.2g}"
    factor = "" if mantissa == 1 else f"{mantissa:.2g}\u00b7"
    return f"{factor}10{str(exponent).translate(SUPERSCRIPTS)}"


def _parts(l2: float) -> tuple[float, int]:
    """Splits `l2` into a number below 10 and a power of 10, to three digits."""
    mantissa, exponent = f"{l2:.2e}".split("e")
    return float(mantissa), int(exponent)


def percent_text(share: float) -> str:
    """Formats `share` in percent, to a tenth."""
    return f"{100 * share:.1f}%"


def worst_verdict(networks: Iterable[TrainedNetwork]) -> Verdict:
    """Returns the worst verdict on a hidden layer at the end, or NOT_ASSESSED."""
    return worst(layer.verdict for network in networks for layer in network.final.layers)


def sentences(experiment: Experiment) -> tuple[str, ...]:
    """Returns the results in sentences, the main result first, including disappointing ones."""
    trained = [network for network in experiment.networks if len(network.epochs) > 1]
    by_verdict = {v: [n for n in trained if worst_verdict([n]) is v] for v in LAYER_VERDICTS}
    collapsed, near = by_verdict[Verdict.COLLAPSED], by_verdict[Verdict.NEAR_COLLAPSE]
    said = [_result(trained, collapsed), *(_lost(network) for network in collapsed)]
    if near:
        layers = " and ".join(
            f"at L2 = {l2_text(n.l2)} ({_named(n, Verdict.NEAR_COLLAPSE)})" for n in near
        )
        said.append(f"Near collapse by the same rule {layers}.")
    if by_verdict[Verdict.FULL_RANK]:
        said.append(_healthy(by_verdict[Verdict.FULL_RANK]))
    if any(network.l2 == 0 for network in collapsed):
        said.append(
            "A network without any penalty collapsed too: the penalty is not the only cause."
        )
    said += [_diverged(network) for network in experiment.networks if network.diverged]
    return tuple(said)


def _result(trained: Sequence[TrainedNetwork], collapsed: Sequence[TrainedNetwork]) -> str:
    """Says at which L2 hidden layers collapsed, and the accuracy of these networks."""
    if not trained:
        return "No network was trained, so there are no results on collapse."
    if not collapsed:
        return (
            f"No hidden layer collapsed by the verdict rule of the main command, at {_at(trained)}."
        )
    every = len(trained) > 1 and len(collapsed) == len(trained)
    at = f"every L2 of the sweep ({_listed(collapsed)})" if every else _at(collapsed)
    accuracies = _and([percent_text(network.final.test_accuracy) for network in collapsed])
    plain = next((n for n in trained if n.l2 == 0 and not n.collapsed and not n.diverged), None)
    against = f", {percent_text(plain.final.test_accuracy)} without penalty" if plain else ""
    return (
        f"Hidden layers collapsed at {at}, by the verdict rule of the main command; test accuracy"
        f" there: {accuracies}{against}."
    )


def _lost(network: TrainedNetwork) -> str:
    """Says what the collapsed layers of a network lost."""
    layers = [layer for layer in network.final.layers if layer.verdict is Verdict.COLLAPSED]
    lost = [f"{layer.lost_directions} of {layer.M} directions of {layer.name}" for layer in layers]
    return f"At L2 = {l2_text(network.l2)} training lost {_and(lost)}."


def _healthy(networks: Sequence[TrainedNetwork]) -> str:
    return f"At {_at(networks)} every hidden layer keeps full rank."


def _diverged(network: TrainedNetwork) -> str:
    epoch = network.final.epoch
    return (
        f"At L2 = {l2_text(network.l2)} training diverged in epoch {epoch + 1}; what is shown of it"
        f" is its state {'as initialized' if epoch == 0 else f'after epoch {epoch}'}."
    )


def _named(network: TrainedNetwork, verdict: Verdict) -> str:
    """Names the layers with this verdict, with the smallest singular value of each."""
    first = network.epochs[0]
    found = []
    for layer in network.final.layers:
        if layer.verdict is verdict:
            before = first.layer(layer.name)
            was = "" if before is None else f", from {text(before.min_singular_value, 2)}"
            found.append(f"{layer.name}: smallest {text(layer.min_singular_value, 2)}{was}")
    return "; ".join(found)


def _at(networks: Sequence[TrainedNetwork]) -> str:
    return f"L2 = {_listed(networks)}"


def _listed(networks: Sequence[TrainedNetwork]) -> str:
    return _and([l2_text(network.l2) for network in networks])


def _and(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def network_rows(experiment: Experiment) -> tuple[NetworkRows, ...]:
    """Returns the table with a row for each hidden layer of each network."""
    return tuple(_network_rows(network) for network in experiment.networks)


def _network_rows(network: TrainedNetwork) -> NetworkRows:
    epochs = network.final.epoch
    note = f"diverged after epoch {epochs}" if network.diverged else ""
    return NetworkRows(
        l2=l2_text(network.l2),
        decay=text(network.decay, 3),
        remains=text(math.exp(-network.decay), 2),
        accuracy=percent_text(network.final.test_accuracy),
        note=note,
        rows=tuple(_rows(network)),
    )


def _rows(network: TrainedNetwork) -> Iterator[TableRow]:
    for name in HIDDEN:
        layer, before = network.final.layer(name), network.epochs[0].layer(name)
        if layer is not None:
            yield TableRow(
                layer=name,
                verdict=layer.verdict.value,
                word=layer.verdict.words,
                smallest_before=text(None if before is None else before.min_singular_value, 3),
                smallest=text(layer.min_singular_value, 3),
                lost=f"{layer.lost_directions} of {layer.M}",
                stable_rank=text(layer.stable_rank, 3),
            )


def tikhonov_sentences(shown: TikhonovDemonstration) -> tuple[str, ...]:
    """Returns the results of the steps in sentences."""
    where = f"{shown.layer.name} at L2 = {l2_text(shown.network_l2)}"
    alone = shown.steps[-1].condition
    if alone is None:
        first = f"Of {where} float64 cannot invert W^T W: it is singular to working precision."
    else:
        first = f"Of {where} W^T W has the condition number {text(alone, 2)}."
    rest = (_restored(shown.steps), _limit(shown), _amplified(shown))
    return (first, *filter(None, rest))


def _restored(steps: Sequence[TikhonovStep]) -> str:
    """Says from which gamma on there is an inverse."""
    found = [step for step in steps if step.condition is not None and step.gamma > 0]
    if not found:
        return ""
    largest, smallest = found[0], found[-1]
    return (
        f"With gamma from {text(largest.gamma, 2)} to {text(smallest.gamma, 2)} on the diagonal it"
        f" can be inverted, with condition numbers from {text(largest.condition, 2)} to"
        f" {text(smallest.condition, 2)}."
    )


def _limit(shown: TikhonovDemonstration) -> str:
    """Says how close the ridge inverse of the kept directions is to the Moore-Penrose inverse."""
    known = [(s.kept_distance, s.gamma) for s in shown.steps if s.kept_distance is not None]
    if not known:
        return ""
    distance, gamma = min(known)
    how = (
        f"With the {count(shown.lost, 'lost direction')} left out" if shown.lost else "Without loss"
    )
    return (
        f"{how}, the ridge inverse comes within {text(distance, 2)} of the Moore-Penrose inverse"
        f" (relative, at gamma = {text(gamma, 2)})."
    )


def _amplified(shown: TikhonovDemonstration) -> str:
    """Says how the lost directions affect the ridge inverse if they are kept."""
    distances = [(s.distance, s.gamma) for s in shown.steps if s.distance is not None]
    norms = [(s.norm, s.gamma) for s in shown.steps if s.norm is not None]
    if not shown.lost or not distances:
        return ""
    (distance, nearest), (norm, largest) = min(distances), max(norms)
    return (
        f"With them it comes no nearer than {text(distance, 2)} (at gamma = {text(nearest, 2)}),"
        f" and grows to {text(norm, 2)} times the size of the Moore-Penrose inverse (at gamma ="
        f" {text(largest, 2)}): what is lost, but not 0, comes back as noise."
    )


HEADINGS = ("L2", "decay", "accuracy", "layer", "sigma_min", "lost", "stable rank", "verdict")


def result_lines(experiment: Experiment) -> Iterator[str]:
    """Yields the lines for the console: the run, the table and the results."""
    for name, value in experiment.about:
        yield f"{name}: {value}"
    yield ""
    lines = [list(HEADINGS)]
    for network in network_rows(experiment):
        shared = [network.l2, network.decay, network.accuracy]
        for number, row in enumerate(network.rows):
            own = [row.layer, row.smallest, row.lost, row.stable_rank, row.word]
            cells = [*(shared if number == 0 else ["", "", ""]), *own]
            lines.append([cell.replace(NOTHING, "-") for cell in cells])
    widths = [max(map(len, column)) for column in zip(*lines)]
    for first, *numbers, last in lines:
        middle = " ".join(cell.rjust(width) for cell, width in zip(numbers, widths[1:-1]))
        yield f"{first.ljust(widths[0])} {middle} {last}"
    yield ""
    yield from sentences(experiment)
    if experiment.tikhonov is not None:
        yield from tikhonov_sentences(experiment.tikhonov)
