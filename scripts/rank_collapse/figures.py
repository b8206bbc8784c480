"""Draws the figures of the rank-collapse experiment from its results and writes them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from allennlp_analyze.reports.figures.file import Caption, save_figure
from allennlp_analyze.reports.figures.style import house_style
from allennlp_analyze.storage.files import make_directory
from allennlp_analyze.text.counts import count
from scripts.rank_collapse.ends import (
    diverged_note,
    draw_accuracy,
    draw_against_l2,
    trained_to_the_end,
)
from scripts.rank_collapse.history import draw_history
from scripts.rank_collapse.measures import NO_NETWORK
from scripts.rank_collapse.results import HIDDEN, Experiment, TrainedNetwork
from scripts.rank_collapse.spectra import draw_eigenvalues
from scripts.rank_collapse.tikhonov_figure import draw_tikhonov
from scripts.rank_collapse.words import l2_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawings(experiment: Experiment) -> Iterator[tuple[str, "Figure", Caption]]:
    """Yields every figure of the experiment with its name and caption.

    Use it inside `house_style`.
    """
    networks = experiment.networks
    finals, ends = _finals_in_words(networks), _ends_in_words(networks, _finals_in_words)
    yield (
        "eigenvalues",
        draw_eigenvalues(networks),
        Caption(
            f"Eigenvalues of {HIDDEN[0]} before and after training, for each L2",
            "Histograms of the eigenvalues of W^T W, as initialized and after training, on a linear"
            f" and on a logarithmic axis, with the edges of the Marchenko-Pastur bulk. {finals}",
        ),
    )
    yield (
        "epochs",
        draw_history(networks),
        Caption(
            "Smallest singular value, directions lost and stable rank against the epoch",
            f"A line for each L2, for {HIDDEN[0]} and {HIDDEN[1]}. {finals}",
        ),
    )
    yield (
        "l2",
        draw_against_l2(networks),
        Caption(
            "Smallest singular value, directions lost and stable rank against L2",
            f"After training, for {HIDDEN[0]} and {HIDDEN[1]}; hollow marks are collapsed layers."
            f" {ends}",
        ),
    )
    yield (
        "accuracy",
        draw_accuracy(networks),
        Caption(
            "Test accuracy against rank",
            "A point for each L2: directions kept, and stable rank, of each hidden layer."
            f" {_ends_in_words(networks, _accuracies_in_words)}",
        ),
    )
    if experiment.tikhonov is not None:
        shown = experiment.tikhonov
        yield (
            "tikhonov",
            draw_tikhonov(shown),
            Caption(
                f"Tikhonov on {shown.layer.name} at L2 = {l2_text(shown.network_l2)}",
                "Condition number of W^T W + gamma I, and distance of the ridge inverse from the"
                " Moore-Penrose inverse, against gamma, with and without the"
                f" {count(shown.lost, 'lost direction')}.",
            ),
        )


def _finals_in_words(networks: Sequence[TrainedNetwork]) -> str:
    """Describes the smallest singular values at the end."""
    found = []
    for network in networks:
        layers = ", ".join(f"{x.name} {x.min_singular_value:.2g}" for x in network.final.layers)
        found.append(f"L2 = {l2_text(network.l2)}: {layers}")
    return (
        f"Smallest singular values at the end: {'; '.join(found)}." if found else NO_NETWORK + "."
    )


def _accuracies_in_words(networks: Sequence[TrainedNetwork]) -> str:
    found = [f"{l2_text(n.l2)} {100 * n.final.test_accuracy:.1f}%" for n in networks]
    return f"Accuracy by L2: {', '.join(found)}." if found else NO_NETWORK + "."


def _ends_in_words(
    networks: Sequence[TrainedNetwork], say: Callable[[Sequence[TrainedNetwork]], str]
) -> str:
    """Describes with `say` the networks in a figure of the ends, and counts the others."""
    ended = trained_to_the_end(networks)
    if len(ended) == len(networks):
        return say(networks)
    return f"{say(ended) if ended else ''} {diverged_note(networks)}.".strip()


def write_figures(experiment: Experiment, directory: Path, plot_format: str) -> tuple[Path, ...]:
    """Write every figure to `directory` as png, svg or pdf; returns paths. Raises `OutputError`."""
    folder = make_directory(directory)
    written = []
    with house_style():
        for name, figure, caption in drawings(experiment):
            path = folder / f"{name}.{plot_format}"
            written.append(save_figure(figure, path, plot_format, caption))
    return tuple(written)
