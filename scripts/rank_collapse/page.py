"""Writes the HTML page of the rank-collapse experiment: result, table, figures and Tikhonov.

The template is next to this script and extends those of the package. It is not in the package,
because the experiment is run only from a checkout.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional
from urllib.parse import quote

from allennlp_analyze.reports.figures.style import house_style
from allennlp_analyze.reports.html.templating import render_template
from allennlp_analyze.reports.terms import text
from allennlp_analyze.results.verdict import LOST_SHARE, MANY_SHARE, NEAR_SHARE
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.reports.claims import LinkText
from scripts.rank_collapse.figures import drawings
from scripts.rank_collapse.results import Experiment, TikhonovDemonstration, TikhonovStep
from scripts.rank_collapse.words import (
    NetworkRows,
    l2_text,
    network_rows,
    sentences,
    tikhonov_sentences,
    worst_verdict,
)
from scripts.tools.inline_svg import inline_svg

if TYPE_CHECKING:
    from markupsafe import Markup

FOLDER = Path(__file__).resolve().parent
TEMPLATE = "page.html"
CHECKOUT = FOLDER.parent.parent
DOCUMENT = CHECKOUT / "docs" / "explanation" / "rank-collapse.md"
# Sections of the document with more information, by anchor.
SECTIONS = (
    ("The Marchenko-Pastur law, and why Q > 1", "the-marchenko-pastur-law-and-why-q--1"),
    ("Hard rank and tolerances", "hard-rank-and-tolerances"),
    ("Tikhonov", "tikhonov"),
    ("What over-regularizing does", "what-over-regularizing-does"),
    ("What to do when you see collapse", "what-to-do-when-you-see-collapse"),
)
TIKHONOV = "tikhonov"
# How to read each figure.
NOTES = {
    "eigenvalues": "Each pair of panels is one network: the eigenvalues of its first hidden layer"
    " before training (outline) and after (filled, in the colour of the verdict). On the linear"
    " axis collapsed eigenvalues pile up in the first bin; on the logarithmic axis below it is seen"
    " how far they went. The edges are those of the bulk of a random matrix.",
    "epochs": "Where the penalty wins, the smallest singular value falls by the same factor each"
    " epoch, a straight line here, until rounding holds it. The stable rank falls in healthy"
    " training too: a few directions grow.",
    "l2": "The end of each line. What counts is L2 times rate times steps, so the L2 at which"
    " collapse begins belongs to this training only.",
    "accuracy": "Points to the left have lost directions. Where they are no lower than the others,"
    " accuracy on test images does not tell of collapse.",
    TIKHONOV: "Left: gamma bounds the condition number by (λ_max + γ) / γ. Right: with the lost"
    " directions left out the ridge inverse goes to the Moore-Penrose inverse, until rounding in"
    " float64 shows; with them it turns away, as 1 / (2√γ) bounds what becomes of them and that"
    " grows. Dotted: γ is the square of the weakest singular value kept, of the strongest lost.",
}
COLUMNS = (
    ("L2", "the penalty is L2 times the sum of the squared weights of both hidden layers", ""),
    ("decay", "2 · L2 · rate · steps / (1 − momentum)", "number"),
    ("weights left", "of a weight, what the penalty alone leaves: exp(−decay)", "number"),
    ("accuracy", "on the test images", "number"),
    ("layer", "", ""),
    ("σ_min before", "smallest singular value as initialized", "number"),
    ("σ_min", "smallest singular value after training", "number"),
    ("lost", "directions lost, by the verdict's rule", "number"),
    ("stable rank", "‖W‖²_F / σ²_max", "number"),
    ("verdict", "of the main command", ""),
)
STEP_COLUMNS = (
    ("γ", "added to the diagonal of WᵀW"),
    ("condition", "condition number of WᵀW + γI"),
    ("distance, lost left out", "of the ridge inverse from the Moore-Penrose inverse, relative"),
    ("distance, lost kept", "the same of the ridge inverse of the whole of W"),
    ("size, lost kept", "norm of that ridge inverse, relative to the Moore-Penrose inverse"),
)
TERMS = (
    (
        "decay",
        "2 · L2 · rate · steps / (1 − momentum)",
        "A step takes 2 · L2 · rate of every weight, and momentum makes 1 / (1 − momentum) of it."
        " What the loss does not hold up shrinks to exp(−decay).",
    ),
    (
        "lost",
        f"σ within rounding, or ≤ {LOST_SHARE:g} · s(√N − √M)",
        "Directions that are within rounding of 0, or far below where the singular values of a"
        f" random matrix begin whose entries have the same standard deviation s: {NEAR_SHARE:g} of"
        f" it suffices for {MANY_SHARE:g} of all directions together. A matrix that shrinks as a"
        " whole has lost nothing.",
    ),
    (
        "stable rank",
        "‖W‖²_F / σ²_max",
        "A rank that small singular values hardly change.",
    ),
    (
        "Moore-Penrose inverse",
        "W⁺ = lim (WᵀW + γI)⁻¹ Wᵀ for γ → 0",
        "1 / σ for every direction that counts, 0 for those that are lost.",
    ),
    (
        "ridge inverse",
        "(WᵀW + γI)⁻¹ Wᵀ",
        "σ / (σ² + γ) for every direction: at most 1 / (2√γ), at σ = √γ.",
    ),
)


@dataclass(frozen=True)
class PageFigure:
    """A figure as the page has it."""

    name: str
    title: str
    note: str
    svg: "Markup"


@dataclass(frozen=True)
class TikhonovPart:
    """The section on the singular layer."""

    title: str
    sentences: tuple[str, ...]
    figure: PageFigure
    rows: tuple[tuple[str, ...], ...]
    footnote: str
    columns: tuple[tuple[str, str], ...] = STEP_COLUMNS


@dataclass(frozen=True)
class CollapsePage:
    """All texts of the page."""

    title: str
    mark: str
    result: str
    more: tuple[str, ...]
    networks: tuple[NetworkRows, ...]
    figures: tuple[PageFigure, ...]
    tikhonov: Optional[TikhonovPart]
    about: tuple[tuple[str, str], ...]
    links: tuple[LinkText, ...]
    columns: tuple[tuple[str, str, str], ...] = COLUMNS
    terms: tuple[tuple[str, str, str], ...] = TERMS


def write_page(experiment: Experiment, path: Path) -> Path:
    """Write the page to `path` and return it. Raises `OutputError`."""
    page = page_of(experiment, path)
    write_text(path, render_template(TEMPLATE, (), {}, folder=FOLDER, page=page))
    return path


def page_of(experiment: Experiment, path: Path) -> CollapsePage:
    """Returns the texts and figures of the page at `path`."""
    figures = _figures(experiment)
    result, *more = sentences(experiment)
    shown = experiment.tikhonov
    return CollapsePage(
        title=f"Rank collapse: Mini AlexNet on {printable(experiment.data)}",
        mark=worst_verdict(experiment.networks).value,
        result=result,
        more=tuple(more),
        networks=tuple(network for network in network_rows(experiment) if network.rows),
        figures=tuple(figure for name, figure in figures.items() if name != TIKHONOV),
        tikhonov=None if shown is None else _tikhonov(shown, figures[TIKHONOV]),
        about=tuple((printable(name), printable(value)) for name, value in experiment.about),
        links=document_links(path),
    )


def document_links(path: Path) -> tuple[LinkText, ...]:
    """Returns links to the sections of the document, if `path` is in the same checkout."""
    page = path.absolute()
    relative = None
    if CHECKOUT in page.parents:
        relative = quote(Path(os.path.relpath(DOCUMENT, page.parent)).as_posix())
    where = DOCUMENT.relative_to(CHECKOUT).as_posix()
    return tuple(
        LinkText(f"{where}: {title}", relative and f"{relative}#{anchor}")
        for title, anchor in SECTIONS
    )


def _figures(experiment: Experiment) -> dict[str, PageFigure]:
    from markupsafe import Markup

    found = {}
    with house_style():
        for name, figure, caption in drawings(experiment):
            svg = Markup(inline_svg(figure, caption, name))
            found[name] = PageFigure(name, caption.title, NOTES[name], svg)
    return found


def _tikhonov(shown: TikhonovDemonstration, figure: PageFigure) -> TikhonovPart:
    kept, lost = shown.weakest_kept, shown.strongest_lost
    return TikhonovPart(
        title=f"Tikhonov, with {shown.layer.name} at L2 = {l2_text(shown.network_l2)}",
        sentences=tikhonov_sentences(shown),
        figure=figure,
        rows=tuple(_step_texts(step) for step in shown.steps),
        footnote=(
            f"{shown.rank} of {shown.layer.M} directions are kept, down to the singular value"
            f" {text(kept, 3)}; the strongest of the lost has {text(lost, 3)}."
            f" A dash: float64 cannot invert."
        ),
    )


def _step_texts(step: TikhonovStep) -> tuple[str, ...]:
    numbers = (step.gamma, step.condition, step.kept_distance, step.distance, step.norm)
    return tuple(text(number, 3) for number in numbers)
