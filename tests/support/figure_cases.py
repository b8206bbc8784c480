"""Layers and models of every kind that figures may have to show, and what is measured on them."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Callable

import numpy as np
from matplotlib.text import Text

from allennlp_analyze.reports.figures.file import save_figure
from allennlp_analyze.reports.figures.model import MODEL_PLOTS
from allennlp_analyze.reports.figures.plots import (
    draw_layer,
    draw_model,
    layer_caption,
    new_layer_figure,
    new_model_figure,
)
from allennlp_analyze.reports.figures.style import (
    KIND_MARKERS,
    VERDICT_COLOURS,
    house_style,
    new_figure,
)
from allennlp_analyze.results.layer import HardRank, LayerResult, ModelReport, Tolerances
from tests.support.report_factory import ODD_NAMES, gaussian, heavy_tailed, make_layer, make_report

LONG_NAME = (
    "text_field_embedder.token_embedder_elmo._elmo._elmo_lstm.forward_layer_0.input_linearity"
)


def spiked() -> np.ndarray:
    return gaussian(200, 100) + 5 * np.outer(gaussian(200, 1), gaussian(100, 1, 1))


def exact_zeros() -> np.ndarray:
    matrix = gaussian(40, 30)
    matrix[:, :7] = 0
    return matrix


def large(M: int = 16384) -> LayerResult:
    """M singular values as a large embedding has them, without the matrix."""
    values = np.concatenate([[90.0, 40.0, 20.0], np.linspace(8.0, 0.5, M - 3)])
    rank = HardRank(M, M, M, M)
    layer = make_layer(heavy_tailed(300, 200))
    return replace(layer, shape=(30 * M, M), singular_values=values, hard_rank=rank)


CASES: dict[str, Callable[[], LayerResult]] = {
    "one eigenvalue": lambda: make_layer(gaussian(30, 1)),
    "17 eigenvalues": lambda: make_layer(gaussian(40, 17)),
    "all equal": lambda: make_layer(np.linalg.qr(gaussian(60, 24))[0]),
    "spike": lambda: make_layer(spiked()),
    "heavy tail": lambda: make_layer(heavy_tailed(300, 200)),
    "square": lambda: make_layer(gaussian(40, 40)),
    "all zeros": lambda: make_layer(np.zeros((9, 4))),
    "exact zeros": lambda: make_layer(exact_zeros()),
    "rank 3": lambda: make_layer(gaussian(40, 3) @ gaussian(3, 20, 1)),
    "no fit": lambda: make_layer(gaussian(40, 30), power_law=None),
    "no bulk": lambda: make_layer(heavy_tailed(40, 30), marchenko_pastur=None, tikhonov=None),
    "1e-30": lambda: make_layer(gaussian(40, 30, scale=1e-30)),
    "1e30": lambda: make_layer(gaussian(40, 30, scale=1e30)),
    "1e-200": lambda: extreme(1e-200),
    "1e-310": lambda: extreme(1e-310),
    "graded": lambda: make_layer(np.diag(np.geomspace(1e-20, 1e20, 30))),
    "16384 values": large,
}
# What one test has made the others look at, too.
CASES = {name: cache(make) for name, make in CASES.items()}


def extreme(scale: float) -> LayerResult:
    """Singular values without squares in float64: nothing is fitted to those."""
    layer = make_layer(gaussian(40, 30), marchenko_pastur=None, tikhonov=None, power_law=None)
    tolerance = Tolerances(**{k: scale * v for k, v in asdict(layer.tolerance).items()})
    return replace(layer, singular_values=scale * layer.singular_values, tolerance=tolerance)


def all_kinds() -> ModelReport:
    kinds, verdicts = list(KIND_MARKERS), list(VERDICT_COLOURS)
    return make_report(
        *(
            make_layer(heavy_tailed(30 + 9 * i, 30, i), kind=kinds[i % 7], verdict=verdicts[i % 4])
            for i in range(28)
        )
    )


def many() -> ModelReport:
    """90 layers, most of which have lost rank."""
    layers = []
    for seed in range(90):
        matrix = heavy_tailed(60 + seed, 20 + seed % 11, seed)
        matrix[:, : seed % 9] = 0
        layers.append(make_layer(matrix, f"{LONG_NAME}.{seed}"))
    return make_report(*layers)


def oddly_named() -> ModelReport:
    matrix = exact_zeros()
    return make_report(*(make_layer(matrix, name) for name in (*ODD_NAMES, LONG_NAME)))


MODELS: dict[str, Callable[[], ModelReport]] = {
    "no layer": make_report,
    "one square layer": lambda: make_report(make_layer(gaussian(30, 30))),
    "one lost layer": lambda: make_report(make_layer(exact_zeros(), LONG_NAME)),
    "every case": lambda: make_report(*(layer() for layer in CASES.values())),
    "all kinds": all_kinds,
    "90 layers": many,
    "odd names": oddly_named,
    "tiny": lambda: make_report(*(make_layer(gaussian(40, 30, s, 1e-30)) for s in range(3))),
    "large alphas": lambda: make_report(*(make_layer(gaussian(1500, 20, s)) for s in range(9))),
}


def write_layer(layer: LayerResult, directory: Path, fmt: str) -> Path:
    """Write the figure of `layer` as `write_plots` does, without those of a model."""
    with house_style():
        figure = draw_layer(new_layer_figure(), layer)
        return save_figure(figure, directory / f"layer.{fmt}", fmt, layer_caption(layer))


def write_model(report: ModelReport, name: str, directory: Path, fmt: str) -> Path:
    """Write one figure of a model as `write_plots` does."""
    (caption,) = (plot.caption for plot in MODEL_PLOTS if plot.name == name)
    with house_style():
        figure = draw_model(new_model_figure(), name, report)
        return save_figure(figure, directory / f"{name}.{fmt}", fmt, caption)


def axes() -> Any:
    return new_figure(6, 4).add_subplot()


def total(ax: Any) -> float:
    """The height of all bars of a histogram together."""
    return sum(bar.get_height() for bar in ax.patches)


def legend(ax: Any) -> "list[str]":
    return [text.get_text() for text in ax.get_legend().get_texts()]


def drawn_texts(figure: Any) -> list[Text]:
    """Every text that is seen, but those of legends."""
    texts = list(figure.texts)
    for ax in figure.axes:
        if not ax.axison:
            texts += [*ax.texts, ax.title, ax._left_title, ax._right_title]
            continue
        texts += [child for child in ax.get_children() if isinstance(child, Text)]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = axis.get_view_interval()
            ticks = zip(axis.get_ticklocs(), axis.get_ticklabels())
            texts += [label for place, label in ticks if low <= place <= high]
            texts += [axis.label, axis.get_offset_text()]
    return [text for text in texts if text.get_text()]


def collisions(figure: Any) -> Iterator[str]:
    """What is wrong with where texts, axes and legends are: outside, or over one another."""
    figure.canvas.draw()
    texts = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    for ax in figure.axes:
        if ax.get_legend() is not None:
            texts.append(("legend", ax.get_legend().get_window_extent()))
    for text, box in texts:
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.width or box.y1 > figure.bbox.height:
            yield f"{text!r} leaves the figure: {box}"
    for (text, box), (other, other_box) in combinations(texts, 2):
        if box.overlaps(other_box):
            yield f"{text!r} covers {other!r}"
    for sample in figure.artists:
        box = sample.get_window_extent()
        yield from (f"a sample covers {text!r}" for text, other in texts if box.overlaps(other))
    for ax in figure.axes:
        inside = [text.get_text() for text in ax.texts]
        for text, box in texts:
            if ax.axison and text not in inside and box.overlaps(ax.bbox):
                yield f"{text!r} covers the data"
