"""Induce rank collapse by over-regularization and detect it: the study's Mini AlexNet experiment.

    python -m scripts.rank_collapse [--l2 0 1e-4 1e-3 1e-2] [--full] [--resume] ...

The script trains a small convolutional network once for each L2 penalty on its two hidden fully
connected layers, from the same seed, and analyzes the state dict after every epoch with this
project's library. It writes figures, one page, and rank-collapse.json, which
scripts.study.reproduce_2018 reads. The product l2 * lr * steps decides: by default the weights have
the same decay as in the study's 20 epochs of CIFAR-10, with fewer channels, smaller batches and
half as many steps at twice the rate. --full uses the study's size.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from safetensors.numpy import load_file

from allennlp_analyze.cli.exits import finish, guarded
from allennlp_analyze.errors import UsageError
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.options.names import PLOT_FORMATS
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.storage.files import check_directory, make_directory, write_text
from scripts.rank_collapse.data import DATA, read_images
from scripts.rank_collapse.figures import write_figures
from scripts.rank_collapse.net import (
    STUDY_LR,
    STUDY_MOMENTUM,
    STUDY_STEPS,
    Training,
    check_batches,
    epoch_file,
    study_decay,
)
from scripts.rank_collapse.page import write_page
from scripts.rank_collapse.results import (
    EpochState,
    Experiment,
    TikhonovDemonstration,
    TrainedNetwork,
)
from scripts.rank_collapse.sweep import Sweep, analyze_all, place_name, prepare, train_all
from scripts.rank_collapse.tikhonov import demonstrate
from scripts.rank_collapse.words import result_lines

RESULTS, PAGE, FIGURES, NETWORKS = "rank-collapse.json", "index.html", "figures", "networks"
SCHEMA_VERSION = 1
L2 = (0.0, 1e-4, 1e-3, 1e-2)
EPOCHS = 20


@dataclass(frozen=True)
class Size:
    """The size of the network and of its training; `steps` are per epoch."""

    channels: int
    batch_size: int
    steps: int
    lr: float


# Both have the l2 * lr * steps of the study.
STUDY = Size(channels=96, batch_size=32, steps=math.ceil(STUDY_STEPS / EPOCHS), lr=STUDY_LR)
SMALL = replace(STUDY, channels=8, batch_size=16, steps=STUDY.steps // 2, lr=2 * STUDY_LR)


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    sweep: Sweep
    output_dir: Path
    resume: bool
    force: bool
    plot_format: str
    quiet: bool


def repeat(request: Request) -> Experiment:
    """Train, analyze and write everything. Raises `UsageError`, `SourceError` or `OutputError`."""
    sweep = request.sweep
    check_directory(request.output_dir)
    # Errors in the images are reported before anything is written or removed.
    images = read_images(sweep.trainings[0].data, sweep.data_dir)
    check_batches(sweep.trainings[0], images)
    prepare(sweep, request.resume, request.force)
    try:
        networks = analyze_all(sweep, train_all(sweep))
    except KeyboardInterrupt as interrupt:
        option = "--resume in place of --force" if request.force else "--resume"
        hint = (
            f"the trained networks are kept in {sweep.directory}; run the same command with"
            f" {option} to continue"
        )
        raise type(interrupt)(hint) from None
    experiment = Experiment(
        sweep.trainings[0].data, about(sweep), networks, tikhonov(sweep, networks)
    )
    numbers = json.dumps(as_json(experiment), indent=1, allow_nan=False) + "\n"
    write_text(request.output_dir / RESULTS, numbers)
    write_figures(experiment, make_directory(request.output_dir / FIGURES), request.plot_format)
    write_page(experiment, request.output_dir / PAGE)
    return experiment


def tikhonov(sweep: Sweep, networks: Sequence[TrainedNetwork]) -> Optional[TikhonovDemonstration]:
    """Demonstrate on the layer with the largest share of lost directions; None if there is none."""
    finals = [
        (layer, network, training)
        for network, training in zip(networks, sweep.trainings)
        for layer in network.final.layers
        if layer.verdict is Verdict.COLLAPSED
    ]
    if not finals:
        return None
    layer, network, training = max(finals, key=lambda one: one[0].lost_percent)
    path = epoch_file(sweep.place(training), network.final.epoch)
    return demonstrate(load_file(str(path))[layer.parameter], layer, network.l2)


def about(sweep: Sweep) -> tuple[tuple[str, str], ...]:
    """Returns the facts of the run and their differences from the study."""
    one = sweep.trainings[0]
    at = 1e-3
    ours = replace(one, l2=at).decay
    return (
        ("network", f"Mini AlexNet, {one.channels} channels in the first layer (study: 96)"),
        ("images", f"{one.data} (study: cifar10)"),
        (
            "training",
            f"{one.epochs} epochs of {one.steps} batches of {one.batch_size} (study: 20 of"
            f" {STUDY.steps} of {STUDY.batch_size}), SGD with rate {one.lr:g} (study: {STUDY_LR:g})"
            f" and momentum {one.momentum:g} (study: {STUDY_MOMENTUM:g}), seed {one.seed}",
        ),
        (
            "decay",
            f"the penalty alone takes a weight to exp(-2 l2 lr steps / (1 - momentum)) of itself:"
            f" at l2 = {at:g} to exp(-{ours:.3g}) = {math.exp(-ours):.2g} (study:"
            f" exp(-{study_decay(at):.3g}))",
        ),
    )


def as_json(experiment: Experiment) -> dict[str, Any]:
    """The numbers, and "runs" as `rank_collapse_runs.read_runs` reads them."""
    return {
        "schema_version": SCHEMA_VERSION,
        "data": experiment.data,
        "about": dict(experiment.about),
        "runs": [_network_json(network) for network in experiment.networks],
    }


def _network_json(network: TrainedNetwork) -> dict[str, Any]:
    return {
        "l2": network.l2,
        "decay": network.decay,
        "collapsed": network.collapsed,
        "diverged": network.diverged,
        "test_accuracy": network.final.test_accuracy,
        "epochs": [_epoch_json(epoch) for epoch in network.epochs],
    }


def _epoch_json(state: EpochState) -> dict[str, Any]:
    return {
        "epoch": state.epoch,
        "train_loss": state.train_loss,
        "test_accuracy": state.test_accuracy,
        "layers": {
            layer.name: {
                "verdict": layer.verdict.value,
                "min_singular_value": layer.min_singular_value,
                "max_singular_value": layer.max_singular_value,
                "lost_directions": layer.lost_directions,
                "M": layer.M,
                "stable_rank": layer.stable_rank,
                "alpha": None if layer.power_law is None else layer.power_law.alpha,
            }
            for layer in state.layers
        },
    }


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.rank_collapse",
        description=(__doc__ or "").split("\n")[0],
        epilog="The exit code is 0 if the page was written, for any result.",
    )
    add = parser.add_argument
    add("--l2", type=float, nargs="+", default=list(L2), metavar="L2", help="penalties l2*sum(w^2)")
    add("--data", choices=DATA, default=DATA[0], help="images (%(default)s)")
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="directory of CIFAR-10 (its binary version, or torchvision's), or for its download;"
        " only with --data cifar10",
    )
    add("--full", action="store_true", help="use the study's channels, batches, rate and steps")
    add("--epochs", type=int, default=EPOCHS, metavar="N", help="(%(default)s)")
    add("--steps", type=int, metavar="N", help=f"batches per epoch ({SMALL.steps})")
    add("--batch-size", type=int, metavar="N", help=f"images per batch ({SMALL.batch_size})")
    add("--lr", type=float, metavar="RATE", help=f"learning rate ({SMALL.lr:g})")
    add("--momentum", type=float, default=STUDY_MOMENTUM, metavar="M", help="(%(default)s)")
    add("--channels", type=int, metavar="N", help=f"channels of the first layer ({SMALL.channels})")
    add(
        "--seed", type=int, default=0, metavar="N", help="seed of weights and batches (%(default)s)"
    )
    add("--jobs", type=int, metavar="N", help="networks at a time, one core each (all cores)")
    add(
        "--output-dir",
        type=Path,
        default=Path("analysis/rank-collapse"),
        metavar="DIR",
        help="output directory (%(default)s)",
    )
    add("--resume", action="store_true", help="resume an interrupted run")
    add("--force", action="store_true", help="start over; not with --resume")
    add("--plot-format", choices=PLOT_FORMATS, default=PLOT_FORMATS[0], help="(%(default)s)")
    add("--quiet", action="store_true", help="print only errors")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def request_from(options: argparse.Namespace) -> Request:
    """Returns the request of the options. Raises `UsageError` for an invalid value."""
    size = STUDY if options.full else SMALL
    lr = size.lr if options.lr is None else options.lr
    _check_numbers(options, lr)
    _check_choices(options)
    penalties = _penalties(options.l2)
    trainings = tuple(
        Training(
            data=options.data,
            l2=l2,
            epochs=options.epochs,
            steps=options.steps or size.steps,
            batch_size=options.batch_size or size.batch_size,
            lr=lr,
            momentum=options.momentum,
            channels=options.channels or size.channels,
            seed=options.seed,
        )
        for l2 in penalties
    )
    sweep = Sweep(
        trainings=trainings,
        directory=options.output_dir / NETWORKS,
        data_dir=options.data_dir,
        jobs=options.jobs or this_machine().cores,
        quiet=options.quiet,
    )
    return Request(
        sweep=sweep,
        output_dir=options.output_dir,
        resume=options.resume,
        force=options.force,
        plot_format=options.plot_format,
        quiet=options.quiet,
    )


def _check_numbers(options: argparse.Namespace, lr: float) -> None:
    for name in ("steps", "batch_size", "channels", "epochs", "jobs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')}: {value} is not a number >= 1")
    if not (math.isfinite(lr) and lr > 0):
        raise UsageError(f"--lr: {lr} is not a number > 0")
    if not 0 <= options.momentum < 1:
        raise UsageError(f"--momentum: {options.momentum} is not a number from 0 to below 1")
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"--seed: {options.seed} is not a number from 0 to 2^63 - 1")


def _check_choices(options: argparse.Namespace) -> None:
    if options.resume and options.force:
        raise UsageError("--resume and --force exclude each other; omit one of them")
    if options.data_dir is not None and options.data == DATA[0]:
        raise UsageError(f"--data-dir: only with --data cifar10, not with {DATA[0]}; omit it")


def _penalties(asked: Sequence[float]) -> tuple[float, ...]:
    """Returns each penalty once, in order; two of them must not share a directory."""
    for l2 in asked:
        if not (math.isfinite(l2) and l2 >= 0):
            raise UsageError(f"--l2: {l2} is not a number >= 0")
    found = tuple(sorted(set(asked)))
    for one, other in zip(found, found[1:]):
        if place_name(one) == place_name(other):
            raise UsageError(
                f"--l2: {one} and {other} would share the directory {place_name(one)};"
                " omit one of them"
            )
    return found


def execute(options: argparse.Namespace) -> int:
    request = request_from(options)
    experiment = repeat(request)
    if not request.quiet:
        for line in result_lines(experiment):
            print(line)
        for name in (PAGE, RESULTS, FIGURES, NETWORKS):
            print(f"{'Written:' if name == PAGE else '':8} {request.output_dir / name}")
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = make_parser().parse_args(argv)
    return guarded(lambda: execute(options), "the experiment", options.debug)


if __name__ == "__main__":
    sys.exit(finish(main()))
