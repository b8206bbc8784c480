"""Print how far real layers are from the limits of the verdict, for its calibration.

    python -m scripts.study.verdict_margins MODEL [MODEL ...]

A MODEL is an archive for the command, an output directory, or the directory of a zoo. For every
kind of layer the script prints the number of assessed layers, their verdicts, and the layers
nearest to zero with their smallest singular value as a fraction of the lower edge, s (sqrt N - sqrt
M). The verdict is collapsed if the smallest value is within rounding or below LOST_SHARE of the
edge, or if at least MANY_SHARE of all directions, and at least two, are below NEAR_SHARE of it; it
is near_collapse if fewer are. The limits are those of `allennlp_analyze.results.verdict`.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Optional

from allennlp_analyze import Report, analyze, load
from allennlp_analyze.cli.exits import finish, guarded
from allennlp_analyze.options.names import KINDS
from allennlp_analyze.reports.loader import REPORT
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import NEAR_SHARE
from allennlp_analyze.text.names import printable

SHOWN = 4
MODELS = "models"  # of a zoo's directory


def reports(models: Iterable[str]) -> Iterator[tuple[str, Report]]:
    """Yields each model's name and its report; a model without a report is analyzed."""
    for model in models:
        path = Path(model)
        if (path / MODELS).is_dir():
            yield from reports(str(one) for one in sorted((path / MODELS).iterdir()))
        elif (path / REPORT).is_file():
            yield path.name, load(path)
        else:
            yield "/".join(path.parts[-2:]), analyze(model)


def share_of_edge(layer: LayerResult) -> Optional[float]:
    """Smallest singular value of an assessed layer as a fraction of the edge of noise."""
    if not layer.verdict.is_judgement or not layer.lower_edge:
        return None
    return layer.min_singular_value / layer.lower_edge


def lines(found: Iterable[tuple[str, Report]]) -> Iterator[str]:
    """The table, kind by kind."""
    layers = [
        (share, name, layer)
        for name, report in found
        for layer in report.layers
        if (share := share_of_edge(layer)) is not None
    ]
    for kind in KINDS:
        of_kind = sorted((one for one in layers if one[2].kind == kind), key=lambda one: one[0])
        if not of_kind:
            continue
        verdicts = Counter(layer.verdict for _, _, layer in of_kind)
        said = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common())
        yield f"{kind}: {len(of_kind)} assessed: {said}; nearest to zero:"
        for share, name, layer in of_kind[:SHOWN]:
            below = int((layer.singular_values < NEAR_SHARE * (layer.lower_edge or 0.0)).sum())
            yield (
                f"  {share:.2g} of the edge, {below} of {layer.M} directions below {NEAR_SHARE:g}:"
                f" {printable(name)}: {printable(layer.name)}, {layer.N} x {layer.M}"
            )


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.verdict_margins",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("models", nargs="+", metavar="MODEL")
    options = parser.parse_args(argv)

    def execute() -> int:
        for line in lines(reports(options.models)):
            print(line)
        return 0

    return guarded(execute, "the models")


if __name__ == "__main__":
    sys.exit(finish(main()))
