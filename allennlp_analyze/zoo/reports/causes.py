"""The zoo's causes of lost directions in words, for the page and the terminal."""

from dataclasses import dataclass

from allennlp_analyze.text.counts import counted
from allennlp_analyze.zoo.results import CauseTotals, ZooTotals


@dataclass(frozen=True)
class CauseRow:
    """One cause in words, and its numbers of layers and models as text."""

    words: str
    harmful: str
    harmless: str
    other: str
    models: str


def cause_rows(totals: ZooTotals) -> tuple[CauseRow, ...]:
    """Returns a row for each cause, the most frequent first."""
    return tuple(
        CauseRow(
            found.cause.words,
            f"{found.n_harmful:,}",
            f"{found.n_harmless:,}",
            f"{found.n_other:,}",
            f"{found.n_models:,}",
        )
        for found in totals.causes
    )


def cause_line(found: CauseTotals) -> str:
    """Returns one cause as a line for the terminal."""
    parts = {
        "harmful": found.n_harmful,
        "harmless": found.n_harmless,
        "no direction lost": found.n_other,
    }
    kinds = ", ".join(f"{what} in {number:,}" for what, number in parts.items() if number)
    where = f"{counted(found.n_layers, 'layer')} of {counted(found.n_models, 'model')}"
    return f"{found.cause.words}: {where} ({kinds})"
