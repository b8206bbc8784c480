"""Writes a page of claims: the statements of a study, our numbers, and the verdicts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from allennlp_analyze.reports.html.templating import render_template
from allennlp_analyze.reports.terms import NOTHING
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.links import link_target
from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.results import CLAIM_VERDICTS, Claim

HOLDS, FAILS, NOT_RUN = CLAIM_VERDICTS
# The style's mark for each verdict, and the verbs for counts.
MARKS = {HOLDS: "agrees", FAILS: "differs", NOT_RUN: "not_compared"}
VERBS = {HOLDS: ("holds", "hold"), FAILS: ("does not hold", "do not hold")}


@dataclass(frozen=True)
class ClaimSection:
    """A heading, a text below it, claims, and links.

    `links` are pairs of a label and a target: an http(s) URL, or a path relative to the page. For
    any other target only the label is shown.
    """

    heading: str
    text: str
    claims: tuple[Claim, ...]
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LinkText:
    """A label and the target of its link, or None."""

    label: str
    target: Optional[str]


@dataclass(frozen=True)
class ClaimRow:
    """The texts of one claim."""

    claim: str
    published: str
    ours: str
    mark: str
    word: str
    note: str
    data: Optional[LinkText]


@dataclass(frozen=True)
class SectionTexts:
    """The texts of one section."""

    heading: str
    text: str
    rows: tuple[ClaimRow, ...]
    links: tuple[LinkText, ...]


def write_claims_page(
    title: str, about: str, sections: Sequence[ClaimSection], path: Union[str, Path]
) -> Path:
    """Write the page to `path` and return it. Raises `OutputError`."""
    write_text(path, claims_page(title, about, sections))
    return Path(path)


def claims_page(title: str, about: str, sections: Sequence[ClaimSection]) -> str:
    """Returns the page as escaped text; it refers only to `links` and `Claim.data`."""
    claims = [claim for section in sections for claim in section.claims]
    return render_template(
        "claims.html",
        (),
        {},
        title=printable(title),
        about=printable(about),
        mark=_worst(claims),
        sentence=claims_sentence(claims),
        sections=[_section(section) for section in sections],
    )


def claim_rows(claims: Iterable[Claim]) -> tuple[ClaimRow, ...]:
    """Returns the rows of a table of `claims`."""
    return tuple(
        ClaimRow(
            claim=printable(claim.claim),
            published=printable(claim.published) or NOTHING,
            ours=printable(claim.ours) or NOTHING,
            mark=MARKS[claim.verdict],
            word=claim.verdict,
            note=printable(claim.note),
            data=None if claim.data is None else _link(claim.data, claim.data),
        )
        for claim in claims
    )


def claims_sentence(claims: Sequence[Claim]) -> str:
    """Returns a sentence with the number of claims that hold, do not hold, and were not run."""
    verdicts = Counter(claim.verdict for claim in claims)
    said = [f"{n} {VERBS[v][n != 1]}" for v in VERBS if (n := verdicts[v])]
    if verdicts[NOT_RUN]:
        said.append(f"{verdicts[NOT_RUN]} could not be judged")
    return f"{count(len(claims), 'claim')}: {', '.join(said)}." if said else "No claim."


def _worst(claims: Sequence[Claim]) -> str:
    found = {claim.verdict for claim in claims}
    return next((MARKS[verdict] for verdict in (FAILS, NOT_RUN, HOLDS) if verdict in found), "")


def _section(section: ClaimSection) -> SectionTexts:
    return SectionTexts(
        heading=printable(section.heading),
        text=printable(section.text),
        rows=claim_rows(section.claims),
        links=tuple(_link(label, address) for label, address in section.links),
    )


def _link(label: str, address: str) -> LinkText:
    return LinkText(printable(label) or "(no name)", link_target(address))
