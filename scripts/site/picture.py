"""Draw the picture of the README: the spectrum of a healthy layer beside that of a collapsed one.

    python -m scripts.site.picture [FILE]

It trains the network of examples/weight_decay.py twice, with a usual weight decay and with a strong
one, analyzes both, and draws the singular values of the layer in the middle.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

import numpy as np

from allennlp_analyze import Layer, analyze
from allennlp_analyze.metrics.null_law import null_quantiles
from allennlp_analyze.reports.figures.style import GREY, VERDICT_COLOURS, WIDTH, house_style
from allennlp_analyze.results.verdict import Verdict
from scripts.tools.generated import ROOT

FILE = ROOT / "docs" / "assets" / "collapse.svg"
DECAYS = ("0.0005", "0.01")
LAYER = "2"


def trained(decay: str, directory: Path) -> tuple[Layer, str]:
    """The layer after a training with this weight decay, and the share of right answers."""
    file = directory / f"{decay}.pt"
    script = ROOT / "examples" / "weight_decay.py"
    done = subprocess.run(
        [sys.executable, str(script), decay, str(file)], capture_output=True, text=True, check=True
    )
    return analyze(file).layer(LAYER), done.stdout.split(":")[1].split()[0]


def draw(axes: Any, layer: Layer, decay: str, right: str) -> None:
    """The singular values of `layer`, with what independent entries of its size would have."""
    positions = np.arange(1, layer.M + 1)
    std = float(layer.marchenko_pastur.entry_sigma) if layer.marchenko_pastur else 1.0
    null = std * np.array(null_quantiles(layer.N, layer.M))[::-1]
    colour = VERDICT_COLOURS[Verdict(layer.verdict)]
    axes.plot(positions, null, color=GREY, linewidth=1, label="independent entries")
    axes.plot(positions, layer.singular_values, ".", color=colour, markersize=4, label="this layer")
    lost = layer.lost_directions
    if lost:
        axes.axvspan(layer.M - lost + 0.5, layer.M + 0.5, color=colour, alpha=0.12, linewidth=0)
    said = f"{lost} of {layer.M} directions lost" if lost else "no direction lost"
    verdict = str(layer.verdict).replace("_", " ")
    axes.set_title(f"{verdict}: {said}", loc="left", color=colour, fontweight="bold")
    axes.set_xlabel(f"largest first\nweight decay {decay}; accuracy {right}")
    axes.set_yscale("log")


def make_picture(file: Path) -> None:
    """Train, analyze, and write the figure into `file`."""
    from matplotlib.figure import Figure

    with tempfile.TemporaryDirectory() as directory, house_style():
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        pair = figure.subplots(1, 2, sharey=True)
        for axes, decay in zip(pair, DECAYS):
            layer, right = trained(decay, Path(directory))
            draw(axes, layer, decay, right)
        pair[0].set_ylabel("singular value")
        pair[0].legend(loc="lower left", frameon=False)
        figure.savefig(file, facecolor="white")


def main(argv: Optional[list[str]] = None) -> int:
    """Draw the picture; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.site.picture", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, default=FILE)
    make_picture(parser.parse_args(argv).file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
