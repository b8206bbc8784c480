"""Tell when the training monitor would have warned in the trainings of the experiment.

    python -m scripts.rank_collapse.monitored DIR ...

Each DIR is an output directory of scripts.rank_collapse. The state dict after each epoch is loaded
into the network and checked by one RankMonitor, as in training, which only reads the weights. For
each network the script prints the epoch of the first warning on a hidden layer and that at which a
tenth of its directions was lost. The exit code is 1 if a layer that lost a tenth was warned of less
than three epochs before, or a network without penalty or with 1e-4 was warned of.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from allennlp_analyze import RankMonitor
from scripts.rank_collapse.results import HIDDEN

EPOCHS_BEFORE = 3
LOST_PERCENT = 10.0
HARMLESS = 1e-4  # at most this penalty


@dataclass(frozen=True)
class Watched:
    """One hidden layer of one training; an epoch is None if it did not come to that."""

    directory: str
    l2: float
    layer: str
    warned: Optional[int]
    lost: Optional[int]

    @property
    def is_right(self) -> bool:
        """Whether the warning came in time, or none where none was due."""
        if self.l2 <= HARMLESS:
            return self.warned is None and self.lost is None
        if self.lost is None:
            return True
        return self.warned is not None and self.warned <= self.lost - EPOCHS_BEFORE


def watch(networks: Path, l2: float, history: Optional[Path] = None) -> list[Watched]:
    """Check every epoch in the directory `networks`; `history` is the monitor's own file."""
    import torch
    from safetensors.torch import load_file

    from scripts.rank_collapse.net import MiniAlexNet

    torch.set_num_threads(1)
    files = sorted(networks.glob("epoch-*.safetensors"))
    model = MiniAlexNet(len(load_file(files[0])["conv1.weight"]))
    hidden = [f"{name}.weight" for name in HIDDEN]
    choices: dict[str, Any] = {} if history is None else {"history": history}
    monitor = RankMonitor(
        model, max_seconds=600, penalty=lambda name: l2 if name in hidden else None, **choices
    )
    warned: dict[str, int] = {}
    lost: dict[str, int] = {}
    for epoch, file in enumerate(files):
        model.load_state_dict(load_file(file))
        check = monitor.step(epoch)
        for begun in check.collapses:
            warned.setdefault(begun.reading.layer, epoch)
        for reading in check.readings:
            if reading.rank_loss_percent >= LOST_PERCENT:
                lost.setdefault(reading.layer, epoch)
    layers = [*HIDDEN, *sorted({*warned, *lost} - {*HIDDEN})]
    where = networks.parent.parent.name
    return [Watched(where, l2, layer, warned.get(layer), lost.get(layer)) for layer in layers]


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.rank_collapse.monitored",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    directories = parser.parse_args(argv).directories
    print(f"{'directory':16} {'L2':>6} {'layer':6} {'warned':>7} {'10% lost':>9}")
    wrong = 0
    for directory in directories:
        found = sorted((directory / "networks").glob("l2-*"))
        if not found:
            parser.error(f"{directory}: contains no networks of scripts.rank_collapse")
        for networks in found:
            for one in watch(networks, float(networks.name[3:])):
                at = ["never" if x is None else str(x) for x in (one.warned, one.lost)]
                wrong += not one.is_right
                print(
                    f"{one.directory:16} {one.l2:6g} {one.layer:6} {at[0]:>7} {at[1]:>9}"
                    f"{'' if one.is_right else '  wrong'}",
                    flush=True,
                )
    print(f"wrong: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
