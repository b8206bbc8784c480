"""Measure the cost of the training monitor in a realistic training on the CPU.

    python -m scripts.benchmarks.monitor [--sentences N] [--epochs N] [--words N] [--bert]

The script trains a BiLSTM tagger of the usual size for named entities (a trained 100-dimensional
embedding, two bidirectional layers of 200, Adam) on as many sentences as CoNLL-2003 has, of random
words. Two copies train in turns, epoch by epoch. One of them is monitored: a check before training
and one after each epoch. The cost of the monitor is the time of the checks, which is measured
separately. The difference between the copies is also printed, and is mostly noise. Processor time
counts the work of all threads, and depends less on other load than wall time.

With --bert it also prints the time of checks of a model of BERT-base's size, without training.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze import RankMonitor
from allennlp_analyze.monitor.results import Check
from scripts.benchmarks.work import bert_shapes

# Sentences and labels of CoNLL-2003's training part, and the mean length of its sentences.
SENTENCES, LABELS, LENGTH = 14041, 9, 14.5
BATCH = 64
# The goal: the monitor takes at most this fraction of the training.
GOAL = 0.05


@dataclass(frozen=True)
class Spent:
    """Seconds on the wall, and of the processor in all threads."""

    wall: float
    processor: float


def timed(work: Callable[[], Any]) -> tuple[Any, Spent]:
    """What `work` returns, and what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, Spent(time.perf_counter() - wall, time.process_time() - processor)


def batches(sentences: int, words: int) -> list[tuple[Any, Any]]:
    """(words, labels) of each batch, sentences of similar length together."""
    import torch

    rng = np.random.Generator(np.random.PCG64(2003))
    lengths = np.sort(np.clip(rng.geometric(1 / LENGTH, sentences), 1, 120))
    found = []
    for start in range(0, sentences, BATCH):
        size = (len(lengths[start : start + BATCH]), int(lengths[start : start + BATCH].max()))
        tokens = np.minimum(rng.zipf(1.3, size) - 1, words - 1)
        found.append((torch.from_numpy(tokens), torch.from_numpy(tokens % LABELS)))
    rng.shuffle(found)  # type: ignore[arg-type]
    return found


class Training:
    """One copy of the tagger with its optimizer, and a monitor or none."""

    def __init__(self, data: list[tuple[Any, Any]], words: int, watched: bool) -> None:
        import torch

        torch.manual_seed(2018)
        self._data = data
        self._model = torch.nn.ModuleDict(
            {
                "embedding": torch.nn.Embedding(words, 100),
                "encoder": torch.nn.LSTM(
                    100, 200, num_layers=2, bidirectional=True, batch_first=True
                ),
                "tags": torch.nn.Linear(400, LABELS),
            }
        )
        self._optimizer = torch.optim.Adam(self._model.parameters())
        self.monitor = RankMonitor(self._model, optimizer=self._optimizer) if watched else None

    def epoch(self) -> None:
        import torch

        model = self._model
        for tokens, labels in self._data:
            self._optimizer.zero_grad()
            scores = model["tags"](model["encoder"](model["embedding"](tokens))[0])
            torch.nn.functional.cross_entropy(scores.transpose(1, 2), labels).backward()
            self._optimizer.step()


def measure_training(options: argparse.Namespace) -> bool:
    """Print the time of each epoch and each check; returns whether the goal is reached."""
    data = batches(options.sentences, options.words)
    plain = Training(data, options.words, watched=False)
    watched = Training(data, options.words, watched=True)
    assert watched.monitor is not None
    _, first = timed(lambda: watched.monitor.step(0))
    print(f"check before the training: {first.wall:.2f} s", flush=True)
    epochs, checks, without = [], [first], []
    for number in range(1, options.epochs + 1):
        epochs.append(timed(watched.epoch)[1])
        found, spent = timed(lambda number=number: watched.monitor.step(number))  # type: ignore[misc]
        checks.append(spent)
        without.append(timed(plain.epoch)[1])
        print(
            f"epoch {number}: {epochs[-1].wall:.1f} s ({epochs[-1].processor:.1f} s of the"
            f" processor), its check {spent.wall:.2f} s ({spent.processor:.2f}) for"
            f" {len(found.readings)} matrices; unwatched {without[-1].wall:.1f} s"
            f" ({without[-1].processor:.1f})",
            flush=True,
        )
    return report(epochs, checks, without)


def report(epochs: list[Spent], checks: list[Spent], without: list[Spent]) -> bool:
    """Print the shares."""
    shares = {}
    for name in ("wall", "processor"):
        training = sum(getattr(x, name) for x in epochs)
        watching = sum(getattr(x, name) for x in checks)
        other = sum(getattr(x, name) for x in without)
        shares[name] = watching / training
        print(
            f"{name} time: checks are {shares[name]:.2%} of the training;"
            f" the watched copy took {(training + watching) / other - 1:+.1%}"
        )
    worst = max(shares.values())
    print(f"under {GOAL:.0%}: {'reached' if worst < GOAL else 'missed'}")
    return worst < GOAL


def measure_bert() -> None:
    """Print what three checks of untrained matrices of BERT-base's shapes take."""
    import torch

    model = torch.nn.ModuleList(torch.nn.Linear(*shape, bias=False) for shape in bert_shapes())
    monitor = RankMonitor(model)
    for check, spent in checks_of(monitor, 3):
        put_off = f", {len(check.put_off)} put off" if check.put_off else ""
        print(
            f"BERT-base: a check of {len(check.readings)} matrices{put_off}: {spent.wall:.2f} s"
            f" ({spent.processor:.2f} s of the processor)",
            flush=True,
        )


def checks_of(monitor: RankMonitor, count: int) -> Iterator[tuple[Check, Spent]]:
    for _ in range(count):
        yield timed(monitor.step)


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.monitor",
        description=(__doc__ or "").split("\n")[0],
    )
    add = parser.add_argument
    add(
        "--sentences",
        type=int,
        default=SENTENCES,
        help=f"sentences per epoch (default: {SENTENCES})",
    )
    add("--epochs", type=int, default=2, help="epochs of each copy (default: 2)")
    add("--words", type=int, default=30000, help="words in the vocabulary (default: 30000)")
    add("--bert", action="store_true", help="also check a model of BERT-base's size")
    options = parser.parse_args(argv)
    for name in ("sentences", "epochs", "words"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: {getattr(options, name)} is not a number >= 1")
    try:
        import torch
    except ImportError:
        parser.error("torch is not installed")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    reached = measure_training(options)
    if options.bert:
        measure_bert()
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
