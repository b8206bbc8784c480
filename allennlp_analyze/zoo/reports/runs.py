"""The trainings that a zoo counts once in words, for the page, the terminal and the table."""

from collections.abc import Iterable
from dataclasses import dataclass

from allennlp_analyze.text.counts import counted
from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.results import ZooReport, ZooRun


@dataclass(frozen=True)
class RunRow:
    """One training as texts: the model that stands for it, the others, and how to follow them."""

    model: str
    why: str
    others: str
    command: str


def run_row(run: ZooRun) -> RunRow:
    """Returns the texts of `run`."""
    said = []
    if run.not_analyzed:
        said.append(f"{counted(len(run.not_analyzed), 'other checkpoint')} not analyzed")
    if run.listed:
        said.append(f"{counted(len(run.listed), 'other checkpoint')} analyzed, but not counted")
    command = f"allennlp-analyze series {run.follow}"
    return RunRow(printable(run.model), run.why, ", ".join(said), printable(command))


def run_line(run: ZooRun) -> str:
    """Returns `run` as a line for the terminal."""
    row = run_row(run)
    return f"{row.model} ({row.why}): {row.others}; `{row.command}` follows them"


def not_counted(runs: Iterable[ZooRun]) -> int:
    """Returns how many checkpoints other ones stand for."""
    return sum(len(run.others) for run in runs)


def others_by_model(report: ZooReport) -> dict[str, str]:
    """Returns the other checkpoints of its training, for each model that stands for one."""
    return {run.model: "; ".join(run.others) for run in report.runs}
