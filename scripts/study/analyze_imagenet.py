"""Analyze the nineteen ImageNet models of the 2018 study and compare them with its numbers.

    python -m scripts.study.analyze_imagenet [--weights-dir DIR | --untrained] [--models NAME,...]

The script downloads torchvision's pretrained weights, or reads them from DIR, and analyzes the
models as a zoo. imagenet.csv and imagenet.json contain the fully connected matrices with the
published numbers, and the study's claims. With --untrained torchvision draws random weights, which
tests the script but says nothing about the study.
"""

import argparse
import json
import sys
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Optional

from allennlp_analyze.analysis.request import Limits
from allennlp_analyze.cli.exits import EXIT_CODES, finish, guarded
from allennlp_analyze.errors import OutputError, UsageError
from allennlp_analyze.settings import Settings
from allennlp_analyze.storage.files import make_directory, write_atomically, write_text
from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.claims import imagenet_claims
from allennlp_analyze.zoo.manifest.reading import ZooEntry, read_manifest
from allennlp_analyze.zoo.results import Claim, ZooReport
from allennlp_analyze.zoo.run import GO_ON_OR_ANEW, ZOO, ZooRequest, run_zoo
from allennlp_analyze.zoo.run import MODELS as MODEL_REPORTS
from scripts.study.claims import (
    TIMEOUT,
    here_instead,
    print_claims,
    why_nothing,
    with_part,
    write_manifest,
)
from scripts.study.imagenet_table import (
    ImageNetRow,
    format_table,
    imagenet_rows,
    reasons,
    rows_claim,
    write_table,
)

MANIFEST = "torchvision-2018"
TITLE = "ImageNet models of the study of 2018"
TABLE, RESULTS, MODELS = "imagenet.csv", "imagenet.json", "imagenet-models.yaml"
# The directory for the weights of --untrained.
DRAWN = "untrained"
RANDOM = "the weights are random (--untrained), so they say nothing about the study"
NO_TORCHVISION = (
    "--untrained: torchvision is not installed: pip install 'allennlp_analyze[torchvision]'"
)
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ImageNetRequest:
    """Which models of `manifest` to analyze (`models` None: all), and where the weights are.

    With `resume` finished models are kept, and failed ones are retried. Raises `UsageError` for
    invalid options.
    """

    output_dir: Path
    manifest: str = MANIFEST
    models: Optional[tuple[str, ...]] = None
    weights_dir: Optional[Path] = None
    untrained: bool = False
    seed: int = 2018
    resume: bool = False
    force: bool = False
    workers: Optional[int] = None
    timeout: float = TIMEOUT
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.untrained and self.weights_dir is not None:
            raise UsageError("--untrained draws random weights; omit --weights-dir")


@dataclass(frozen=True)
class ImageNet:
    """The analysis of ImageNet's models, the comparison of its rows, and the claims."""

    zoo: ZooReport
    rows: tuple[ImageNetRow, ...]
    claims: tuple[Claim, ...]
    written: tuple[Path, ...]


def analyze_imagenet(request: ImageNetRequest) -> ImageNet:
    """Analyze the models as a zoo and write that zoo's reports, imagenet.csv and imagenet.json.

    Raises what `run_zoo` raises.
    """
    zoo = ZooRequest(
        manifest=str(request.output_dir / MODELS),
        directory=request.output_dir,
        force=request.force,
        resume=request.resume,
        retry_failed=request.resume,
        workers=request.workers,
        plots=True,
        claims=True,
        limits=Limits(timeout=request.timeout),
        quiet=request.quiet,
    )
    entries = located_entries(request)
    refuse_earlier(request)
    if request.untrained:
        entries = drawn_entries(entries, request.output_dir / DRAWN, request.seed)
    title = f"{TITLE}, with random weights" if request.untrained else TITLE
    write_manifest(request.output_dir / MODELS, title, entries)
    outcome = run_zoo(zoo, Settings(kinds=("linear",), compare_distributions=True))
    report = outcome.report
    rows = imagenet_rows(report.models, request.output_dir, request.untrained)
    why_not = RANDOM if request.untrained else why_nothing(report)
    claims = imagenet_claims(report.counted, TABLE, why_not)
    claims = with_part((*claims, rows_claim(rows, TABLE, why_not)), report)
    written = (request.output_dir / TABLE, request.output_dir / RESULTS)
    write_table(rows, written[0])
    write_text(written[1], json.dumps(as_json(request, report, rows, claims), indent=1) + "\n")
    return ImageNet(report, rows, claims, (*written, *outcome.written))


def refuse_earlier(request: ImageNetRequest) -> None:
    """Raise `OutputError` if there is a zoo, before weights are drawn."""
    begun = (request.output_dir / ZOO).exists() or (request.output_dir / MODEL_REPORTS).exists()
    if begun and not (request.resume or request.force):
        raise OutputError(f"{request.output_dir}: a zoo already exists", *GO_ON_OR_ANEW)


def located_entries(request: ImageNetRequest) -> tuple[ZooEntry, ...]:
    """The models asked for, in the manifest's order, from the user's files where they are.

    Raises `UsageError` for a model that the manifest lacks, and as `here_instead` does.
    """
    entries = read_manifest(request.manifest).entries
    names = [entry.name for entry in entries]
    unknown = [name for name in request.models or () if name not in names]
    if unknown:
        raise UsageError(
            f"--models: unknown model {printable(unknown[0])}; choose from {', '.join(names)}"
        )
    chosen = [e for e in entries if request.models is None or e.name in request.models]
    if request.weights_dir is None:
        return tuple(chosen)
    return here_instead(chosen, request.weights_dir, "--weights-dir")


def drawn_entries(entries: Sequence[ZooEntry], directory: Path, seed: int) -> tuple[ZooEntry, ...]:
    """`entries` with weights that torchvision draws, one model in memory at a time.

    The same seed gives the same weights; what an earlier run has drawn stays. Raises `UsageError`
    without torchvision, and for a model that it does not know.
    """
    make_directory(directory)
    found = []
    for entry in entries:
        path = directory / f"{entry.name}-{seed}.pth"
        if not path.exists():
            draw(entry.name, path, seed)
        found.append(replace(entry, archive=str(path.absolute()), sha256=None))
    return tuple(found)


def draw(name: str, path: Path, seed: int) -> None:
    """Save the state dict of torchvision's model `name` with random weights at `path`."""
    try:
        import torch
        from torchvision import models
    except ImportError:
        raise UsageError(NO_TORCHVISION) from None
    build = getattr(models, name, None)
    if not callable(build):
        raise UsageError(f"--untrained: torchvision has no model {printable(name)}")
    # Models of which one is part of another would else draw the same numbers.
    torch.manual_seed(seed ^ zlib.crc32(name.encode("utf-8")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how Inception will be drawn in the future
        state = build().state_dict()

    def write(file: BinaryIO) -> None:
        torch.save(state, file)

    write_atomically(path, write)


def as_json(
    request: ImageNetRequest,
    report: ZooReport,
    rows: Sequence[ImageNetRow],
    claims: Sequence[Claim],
) -> dict[str, Any]:
    """What imagenet.json holds."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": asdict(report.tool),
        "weights": "random" if request.untrained else "pretrained",
        "models": [
            {
                "name": model.name,
                "archive": model.archive,
                "directory": model.directory,
                "status": model.outcome.status,
                "reason": model.outcome.reason,
                "sha256": model.outcome.sha256,
            }
            for model in report.models
        ],
        "rows": [row.cells() for row in rows],
        "claims": [asdict(claim) for claim in claims],
    }


NOTES = """
To the right of each number is that of 2018. lost: directions at the tolerance `rounding`.
close: within 1%; alpha was published to two digits."""


def print_imagenet(found: ImageNet) -> None:
    """The table, what is not in it and why, the claims, and what was written."""
    print(format_table(found.rows))
    print(NOTES)
    for line in reasons(found.rows):
        print(line)
    for model in found.zoo.failed:
        print(f"Failed: {printable(model.name)}: {printable(model.outcome.reason or '')}")
    shown = {row.model for row in found.rows}
    without = [model.name for model in found.zoo.counted if model.name not in shown]
    if without:
        print(f"Without a fully connected layer: {printable(', '.join(without))}.")
    print()
    print_claims(found.claims)
    paths = "\n         ".join(str(path) for path in found.written)
    print(f"\nWritten: {paths}")


def make_parser() -> argparse.ArgumentParser:
    lines = (__doc__ or "").split("\n")
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.analyze_imagenet",
        description=lines[0],
        epilog=f"If at least one model failed, the exit code is 1. {EXIT_CODES}",
    )
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("analysis/imagenet-2018"),
        metavar="DIR",
        help="directory for the reports (default: %(default)s)",
    )
    weights = parser.add_argument_group("where the weights are")
    weights.add_argument(
        "--weights-dir",
        type=Path,
        metavar="DIR",
        help="use the files in DIR, found by their names or as MODEL*.pth",
    )
    weights.add_argument(
        "--untrained",
        action="store_true",
        help=f"random weights, drawn by torchvision and kept in {DRAWN}/ (5 GB for all models)",
    )
    weights.add_argument("--seed", type=int, default=2018, help="seed of --untrained (%(default)s)")
    weights.add_argument(
        "--manifest", default=MANIFEST, help="another manifest with these names (%(default)s)"
    )
    weights.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help="seconds without data from the server before a download fails (%(default)g)",
    )
    parser.add_argument("--models", metavar="NAME,...", help="only these models")
    parser.add_argument("--resume", action="store_true", help="resume, and retry failed models")
    parser.add_argument("--force", action="store_true", help="start over")
    parser.add_argument("--workers", type=int, metavar="N", help="number of models at a time")
    parser.add_argument("--quiet", action="store_true", help="print only errors")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def execute(options: argparse.Namespace) -> int:
    models = options.models
    found = analyze_imagenet(
        ImageNetRequest(
            output_dir=options.output_dir,
            manifest=options.manifest,
            models=None if models is None else tuple(n.strip() for n in models.split(",")),
            weights_dir=options.weights_dir,
            untrained=options.untrained,
            seed=options.seed,
            resume=options.resume,
            force=options.force,
            workers=options.workers,
            timeout=options.timeout,
            quiet=options.quiet,
        )
    )
    if not options.quiet:
        print_imagenet(found)
    return 1 if found.zoo.failed else 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = make_parser().parse_args(argv)
    return guarded(lambda: execute(options), "ImageNet", options.debug)


if __name__ == "__main__":
    sys.exit(finish(main()))
