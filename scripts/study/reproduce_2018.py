"""Repeat the study of 2018 with all data that can be reached, and write one page of claims.

    python -m scripts.study.reproduce_2018 [--archives-dir DIR] [--weights-dir DIR]

The script runs or resumes the AllenNLP part and the ImageNet part, and writes index.html and
claims.json: each claim with the published numbers, our numbers, a verdict and the data. A claim
without data is "not run", with the reason.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.request import Limits
from allennlp_analyze.cli.exits import finish, guarded
from allennlp_analyze.errors import UsageError
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.settings import Settings
from allennlp_analyze.storage.files import check_directory, write_text
from allennlp_analyze.zoo.claims import CollapseRun, allennlp_claims, collapse_claim
from allennlp_analyze.zoo.manifest.reading import ZooEntry, read_manifest
from allennlp_analyze.zoo.reports.claims import ClaimSection, write_claims_page
from allennlp_analyze.zoo.results import DONE, Claim, ZooModel, ZooReport
from allennlp_analyze.zoo.run import ZooRequest, run_zoo
from scripts.rank_collapse.runs import read_runs
from scripts.study.analyze_imagenet import MANIFEST as IMAGENET_MANIFEST
from scripts.study.analyze_imagenet import (
    NO_TORCHVISION,
    RANDOM,
    TABLE,
    ImageNetRequest,
    analyze_imagenet,
    located_entries,
)
from scripts.study.claims import (
    NOT_RUN,
    TIMEOUT,
    here_instead,
    print_claims,
    why_nothing,
    with_part,
    write_manifest,
)

ALLENNLP_MANIFEST = "allennlp-2018"
ALLENNLP, IMAGENET = "allennlp", "imagenet"
PAGE, CLAIMS, MODELS, COLLAPSE = "index.html", "claims.json", "models.yaml", "rank-collapse.json"
TITLE = "The study of 2018, repeated"
ABOUT = (
    "The claims of the study of 2018 on the fully connected layers of trained networks, the numbers"
    " in the package's copy of its tables, and the numbers of this run. Every verdict follows the"
    " rule beside it; it judges our numbers, not their distance from the published ones."
)
COLLAPSE_TEXT = "The rank-collapse experiment: newly trained networks, except those that diverged."
NO_EXPERIMENT = "pass the results of scripts.rank_collapse with --rank-collapse"
SCHEMA_VERSION = 1
# The verdict of the claim for each verdict of the comparison; models without common numbers are not
# judged.
REPRODUCED = {
    "reproduced": "holds",
    "close": "holds",
    "differs": "does not hold",
    "incomplete": "does not hold",
}


@dataclass(frozen=True)
class Study:
    """What to repeat and where; `force` starts over, otherwise finished parts are kept."""

    output_dir: Path
    allennlp_manifest: str
    archives_dir: Optional[Path]
    imagenet: ImageNetRequest
    rank_collapse: Optional[Path]
    force: bool
    workers: Optional[int]
    timeout: float
    quiet: bool


def repeat(study: Study) -> tuple[ClaimSection, ...]:
    """Run every part, write the page and claims.json, and return the sections of the page.

    The user's files are checked before any work. Raises what `run_zoo` raises.
    """
    check_directory(study.output_dir)
    entries = allennlp_entries(study)
    located_entries(study.imagenet)
    if study.imagenet.untrained and find_spec("torchvision") is None:
        raise UsageError(NO_TORCHVISION)
    runs = None if study.rank_collapse is None else read_runs(study.rank_collapse)
    sections = (
        *allennlp_sections(study, entries),
        imagenet_section(study),
        collapse_section(study, runs),
    )
    write_text(study.output_dir / CLAIMS, json.dumps(as_json(sections), indent=1) + "\n")
    write_claims_page(TITLE, ABOUT, sections, study.output_dir / PAGE)
    return sections


def allennlp_entries(study: Study) -> tuple[ZooEntry, ...]:
    entries = read_manifest(study.allennlp_manifest).entries
    if study.archives_dir is None:
        return entries
    return here_instead(entries, study.archives_dir, "--archives-dir")


def allennlp_sections(study: Study, entries: Sequence[ZooEntry]) -> Iterator[ClaimSection]:
    """The claims on AllenNLP's models, and each model beside its published rows."""
    root = study.output_dir / ALLENNLP
    write_manifest(root / MODELS, "AllenNLP's models of the study of 2018", entries)
    zoo = ZooRequest(
        manifest=str(root / MODELS),
        directory=root,
        force=study.force,
        resume=not study.force,
        retry_failed=not study.force,
        workers=study.workers,
        plots=True,
        claims=True,
        limits=Limits(timeout=study.timeout),
        quiet=study.quiet,
    )
    report = run_zoo(zoo, Settings()).report
    claims = allennlp_claims(report.counted, f"{ALLENNLP}/zoo.csv", why_nothing(report))
    yield ClaimSection(
        "AllenNLP's models",
        analyzed(report),
        with_part(claims, report),
        zoo_links(report, ALLENNLP),
    )
    yield ClaimSection(
        "AllenNLP's models, row by row",
        "Each model and its published numbers, compared as by --reference.",
        tuple(reference_claims(report, entries, root)),
    )


def reference_claims(report: ZooReport, entries: Sequence[ZooEntry], root: Path) -> Iterator[Claim]:
    """Yields for each model with a reference whether the published numbers are reproduced."""
    for model, entry in zip(report.models, entries):
        name = entry.options.get("reference")
        if name is None:
            continue
        rows = len(read_reference(name).rows)
        claim = Claim(
            f"The numbers of {model.name} are reproduced", f"{rows} rows ({name})", "", NOT_RUN
        )
        if model.outcome.status != DONE:
            yield replace(claim, note=model.outcome.reason or "")
            continue
        compared = load_report(root / model.directory).reference
        assert compared is not None  # asked for by the manifest's option
        found = replace(claim, data=f"{ALLENNLP}/{model.directory}/report.html")
        if compared.verdict in REPRODUCED:
            note = "Holds when every row agrees or is within 1%."
            verdict = REPRODUCED[compared.verdict]
            yield replace(found, ours=compared.sentence, verdict=verdict, note=note)
        else:
            yield replace(found, note=compared.sentence)


def imagenet_section(study: Study) -> ClaimSection:
    found = analyze_imagenet(study.imagenet)
    claims = [replace(claim, data=f"{IMAGENET}/{claim.data}") for claim in found.claims]
    links = ((TABLE, f"{IMAGENET}/{TABLE}"), *zoo_links(found.zoo, IMAGENET))
    text = f"Not judged: {RANDOM}." if study.imagenet.untrained else analyzed(found.zoo)
    return ClaimSection("ImageNet's models", text, tuple(claims), links)


def collapse_section(study: Study, runs: Optional[Sequence[CollapseRun]]) -> ClaimSection:
    """The claim on the experiment's `runs`, which are kept beside the page; None: not run."""
    heading, text = "Over-regularization", COLLAPSE_TEXT
    if runs is None:
        return ClaimSection(heading, text, (collapse_claim((), why_not=NO_EXPERIMENT),))
    kept = json.dumps({"runs": [asdict(run) for run in runs]}, indent=1) + "\n"
    write_text(study.output_dir / COLLAPSE, kept)
    return ClaimSection(heading, text, (collapse_claim(runs, COLLAPSE),))


def analyzed(report: ZooReport) -> str:
    """How many models were, and why not the others."""
    done = sum(model.outcome.status == DONE for model in report.models)
    said = f"{done} of {len(report.models)} models analyzed."
    if not report.failed:
        return said
    first = report.failed[0]
    more = f" (and {len(report.failed) - 1} more)" if len(report.failed) > 1 else ""
    return f"{said} Failed: {first.name}: {first.outcome.reason}{more}."


def zoo_links(report: ZooReport, part: str) -> tuple[tuple[str, str], ...]:
    """To the zoo's own page, and to that of each model that was analyzed."""
    done: list[ZooModel] = [m for m in report.models if m.outcome.status == DONE]
    return (
        ("all models", f"{part}/index.html"),
        *((model.name, f"{part}/{model.directory}/report.html") for model in done),
    )


def as_json(sections: Sequence[ClaimSection]) -> dict[str, Any]:
    """What claims.json holds: every claim with its section; `data` is relative to the file."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": asdict(tool_info()),
        "claims": [
            {"section": section.heading, **asdict(claim)}
            for section in sections
            for claim in section.claims
        ],
    }


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.reproduce_2018",
        description=(__doc__ or "").split("\n")[0],
        epilog="The exit code is 0 if the page was written, for any verdicts.",
    )
    _add_files(parser)
    _add_work(parser)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    """The options that name what to read and where to write."""
    add = parser.add_argument
    add(
        "--output-dir",
        type=Path,
        default=Path("analysis/reproduce-2018"),
        metavar="DIR",
        help="output directory (%(default)s); a second run resumes there",
    )
    add(
        "--archives-dir",
        type=Path,
        metavar="DIR",
        help="use the AllenNLP archives in DIR",
    )
    add(
        "--weights-dir",
        type=Path,
        metavar="DIR",
        help="use the torchvision weights in DIR",
    )
    add(
        "--rank-collapse",
        type=Path,
        metavar="FILE",
        help='results of the rank-collapse experiment: {"runs": [{"l2": 0.001, "collapsed":'
        ' true}, ...]}; runs with "diverged": true are ignored',
    )
    add(
        "--allennlp-manifest",
        default=ALLENNLP_MANIFEST,
        metavar="MANIFEST",
        help="another manifest (%(default)s)",
    )
    add(
        "--imagenet-manifest",
        default=IMAGENET_MANIFEST,
        metavar="MANIFEST",
        help="another manifest (%(default)s)",
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    """The options that say which models, and how."""
    add = parser.add_argument
    add(
        "--untrained",
        action="store_true",
        help="use random weights for ImageNet's models, for a test without verdicts",
    )
    add("--imagenet-models", metavar="NAME,...", help="only these ImageNet models")
    add(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help="seconds without data from the server before a download fails (%(default)g)",
    )
    add("--workers", type=int, metavar="N", help="number of models at a time")
    add("--resume", action="store_true", help="resume an earlier run (the default)")
    add("--force", action="store_true", help="start over")
    add("--quiet", action="store_true", help="print only errors")
    add("--debug", action="store_true", help="show the traceback of an error")


def study_from(options: argparse.Namespace) -> Study:
    """Raises `UsageError`."""
    models = options.imagenet_models
    imagenet = ImageNetRequest(
        output_dir=options.output_dir / IMAGENET,
        manifest=options.imagenet_manifest,
        models=None if models is None else tuple(name.strip() for name in models.split(",")),
        weights_dir=options.weights_dir,
        untrained=options.untrained,
        resume=not options.force,
        force=options.force,
        workers=options.workers,
        timeout=options.timeout,
        quiet=options.quiet,
    )
    return Study(
        output_dir=options.output_dir,
        allennlp_manifest=options.allennlp_manifest,
        archives_dir=options.archives_dir,
        imagenet=imagenet,
        rank_collapse=options.rank_collapse,
        force=options.force,
        workers=options.workers,
        timeout=options.timeout,
        quiet=options.quiet,
    )


def execute(options: argparse.Namespace) -> int:
    sections = repeat(study_from(options))
    if not options.quiet:
        for section in sections:
            print(f"\n== {section.heading}\n")
            print_claims(section.claims)
        print(f"\nWritten: {options.output_dir / PAGE}\n         {options.output_dir / CLAIMS}")
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = make_parser().parse_args(argv)
    return guarded(lambda: execute(options), "the study of 2018", options.debug)


if __name__ == "__main__":
    sys.exit(finish(main()))
