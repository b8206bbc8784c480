"""Measure what a monitor adds to the training of a Transformer: processor time and peak memory.

    python -m scripts.benchmarks.monitor_overhead [--million 10] [--steps 200] [--threads N]

The Transformer has about so many million parameters (1, 10 or 100) and trains with AdamW on batches
of 16 x 64 random words. Each case is a process of its own, so that the peak of its memory is its
own: without a monitor, with one, with its probe, and with its updates. It checks before the first
step and after the last. The share is the processor time of the last check over that of 200 steps,
one check in 200 steps; fewer `--steps` measure fewer and scale them. All layers are measured,
however long it takes.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from allennlp_analyze import RankMonitor
from scripts.benchmarks.monitor import timed
from scripts.tools.generated import ROOT

# One check in so many steps.
STEPS_PER_CHECK = 200
BATCH = (16, 64)
# Words, width, layers, heads.
MODELS = {1: (4000, 128, 4, 4), 10: (8000, 320, 6, 8), 100: (20000, 768, 12, 12)}
PLAIN = "without a monitor"
CASES = (PLAIN, "a check", "a check with the probe", "a check with updates")


@dataclass(frozen=True)
class Measured:
    """One case: seconds of the processor and of the wall for all steps and for the last check."""

    parameters: int
    steps_processor: float
    steps_wall: float
    check_processor: float
    check_wall: float
    matrices: int
    peak_mib: float


def transformer(million: int) -> Any:
    """A language model whose output layer is its embedding."""
    import torch

    words, width, layers, heads = MODELS[million]
    torch.manual_seed(2018)
    block = torch.nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True)
    model = torch.nn.Sequential(
        torch.nn.Embedding(words, width),
        torch.nn.TransformerEncoder(block, layers, enable_nested_tensor=False),
        torch.nn.Linear(width, words, bias=False),
    )
    model[2].weight = model[0].weight
    return model


def measure(case: str, million: int, steps: int, threads: int) -> Measured:
    """Train in this process, with the monitor of `case`."""
    import torch

    torch.set_num_threads(threads)
    model = transformer(million)
    words = MODELS[million][0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    choices: dict[str, Any] = {
        "a check with the probe": {"probe": torch.randint(words, BATCH)},
        "a check with updates": {"updates": True},
    }.get(case, {})
    monitor = None
    if case != PLAIN:
        monitor = RankMonitor(model, optimizer=optimizer, max_seconds=3600, **choices)
        monitor.step(0, 0)

    def train() -> None:
        for _ in range(steps):
            tokens = torch.randint(words, BATCH)
            optimizer.zero_grad()
            scores = model(tokens).flatten(0, 1)
            torch.nn.functional.cross_entropy(scores, tokens.flatten()).backward()
            optimizer.step()

    _, trained = timed(train)
    check, checked = timed(lambda: None if monitor is None else monitor.step(1, steps))
    return Measured(
        sum(parameter.numel() for parameter in model.parameters()),
        trained.processor,
        trained.wall,
        checked.processor,
        checked.wall,
        0 if check is None else len(check.readings),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def row(case: str, found: Measured, plain: Measured, steps: int) -> str:
    """One line of the table; the share is of the steps without a monitor."""
    a_step = f"{found.steps_processor / steps:.3f} s"
    more = f"{found.peak_mib:.0f} MiB"
    if case == PLAIN:
        return f"| {case} | {a_step} | | | {more} |"
    share = found.check_processor / (STEPS_PER_CHECK * plain.steps_processor / steps)
    more += f" ({found.peak_mib - plain.peak_mib:+.0f})"
    return f"| {case} | {a_step} | {found.check_processor:.2f} s | {share:.2%} | {more} |"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.monitor_overhead",
        description=(__doc__ or "").split("\n")[0],
    )
    add = made.add_argument
    add("--million", type=int, default=10, choices=MODELS, help="parameters (default: 10)")
    add("--steps", type=int, default=STEPS_PER_CHECK, help="steps of each case (default: 200)")
    add("--threads", type=int, default=1, help="threads of torch (default: 1)")
    add("--case", choices=CASES, help="measure one case in this process, and print it as JSON")
    return made


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = parser().parse_args(argv)
    for name in ("steps", "threads"):
        if getattr(options, name) < 1:
            parser().error(f"--{name}: {getattr(options, name)} is not a number >= 1")
    try:
        import torch
    except ImportError:
        parser().error("torch is not installed")
    asked = (options.million, options.steps, options.threads)
    if options.case:
        print(json.dumps(asdict(measure(options.case, *asked))))
        return 0
    rows, plain, found = [], None, None
    for case in CASES:
        arguments = zip(("--million", "--steps", "--threads"), map(str, asked))
        command = [sys.executable, "-m", "scripts.benchmarks.monitor_overhead", "--case", case]
        command += [word for pair in arguments for word in pair]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return done.returncode
        found = Measured(**json.loads(done.stdout))
        plain = plain or found
        rows.append(row(case, found, plain, options.steps))
    assert plain is not None and found is not None
    print(
        f"torch {torch.__version__}, --threads {options.threads}, --steps {options.steps},"
        f" {found.matrices} matrices\n"
    )
    size = f"{plain.parameters / 1e6:.1f} million parameters"
    print(f"| {size} | a step | a check | of {STEPS_PER_CHECK} steps | peak |")
    print("|---|---|---|---|---|")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
