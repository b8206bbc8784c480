"""Plan large analyses on a cluster: a simulation of the leader, the scheduler and its workers.

    python -m scripts.study.cluster_plan [--workers N ...] [--seeds N] [--measure]

Prints how long models of 70B and 405B parameters and a zoo of a million models take, and what
limits it. The costs of a matrix are those of `linalg.machine`; with --measure they are compared
with this machine first, and so is the time that the leader needs for an item. The simulated policy
is that of `engine.running`: the costliest items first, `AHEAD` per worker submitted, and an item
whose worker dies goes back to the front.

Each worker has a speed of its own, and each item varies (lognormal); workers die at random and come
back; an item that needs more memory than a worker has kills it, and is given up like one that
really does.
"""

import argparse
import heapq
import math
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Optional

import numpy as np

from allennlp_analyze.engine.dask import AHEAD
from allennlp_analyze.linalg.machine import BASE_BYTES, memory, seconds
from allennlp_analyze.linalg.schedule import Shape

GIB = 2**30
# Bytes of an entry of the models: bfloat16.
ENTRY_BYTES = 2
# Deaths of its workers after which Dask gives an item up (allowed-failures, the default, and one
# more); it is then tried once more in the same way, alone.
DEATHS_ALLOWED = 4


@dataclass(frozen=True)
class Item:
    """One task: seconds on one core of usual speed, bytes that are read, bytes of memory."""

    cost: float
    size: int
    need: int


@dataclass(frozen=True)
class World:
    """The cluster: speeds, deaths, memory, and what the leader and the network can take.

    `worker_spread` and `item_spread` are the sigmas of lognormal factors; `life` is the mean life
    of a worker, `restart` the seconds until it is back; `leader` are the leader's seconds per item;
    `shared` and `own` are bytes per second of the storage and of one worker.
    """

    workers: int
    memory: int = 8 * GIB
    worker_spread: float = 0.2
    item_spread: float = 0.1
    life: float = 12 * 3600.0
    restart: float = 60.0
    leader: float = 0.005
    shared: float = 1.25e9
    own: float = 1.25e8


@dataclass
class Outcome:
    """What became of a run: seconds to the end, deaths, seconds of lost work, items given up."""

    makespan: float = 0.0
    deaths: int = 0
    lost: float = 0.0
    given_up: int = 0
    done: int = 0


@dataclass
class _State:
    queue: "deque[int]"
    outcome: Outcome = field(default_factory=Outcome)
    events: "list[tuple[float, int, str, int, int]]" = field(default_factory=list)
    free: "deque[int]" = field(default_factory=deque)
    at_leader: float = 0.0
    at_storage: float = 0.0
    number: int = 0

    def add(self, when: float, what: str, worker: int, item: int) -> None:
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what, worker, item))


def simulate(items: Sequence[Item], world: World, seed: int) -> Outcome:
    """Run `items`, which are sorted by cost, on `world`."""
    rng = np.random.default_rng(seed)
    speed = np.exp(rng.normal(0, world.worker_spread, world.workers))
    dies = rng.exponential(world.life, world.workers)
    deaths: dict[int, int] = {}
    waiting = iter(range(len(items)))
    state = _State(deque(), free=deque(range(world.workers)))

    def submit(now: float) -> None:
        item = next(waiting, None)
        if item is not None:
            state.at_leader = max(now, state.at_leader) + world.leader
            state.add(state.at_leader, "submitted", -1, item)

    def assign(now: float) -> None:
        while state.queue and state.free:
            worker, item = state.free.popleft(), state.queue.popleft()
            factor = speed[worker] * math.exp(rng.normal(0, world.item_spread))
            # The storage serves one after the other, each worker at most as fast as it can take.
            state.at_storage = max(now, state.at_storage) + items[item].size / world.shared
            reading = max(state.at_storage - now, items[item].size / world.own)
            takes = reading + items[item].cost * factor
            ends = now + takes
            if items[item].need > world.memory:
                state.add(now + takes / 2, "died", worker, item)
                state.outcome.lost += takes / 2
            elif dies[worker] < ends:
                when = max(now, dies[worker])
                state.add(when, "died", worker, item)
                state.outcome.lost += when - now
            else:
                state.add(ends, "done", worker, item)

    for _ in range(AHEAD * world.workers):
        submit(0.0)
    while state.events:
        now, _, what, worker, item = heapq.heappop(state.events)
        if what == "submitted":
            state.queue.append(item)
        elif what == "back":
            dies[worker] = now + rng.exponential(world.life)
            state.free.append(worker)
        elif what == "done":
            state.outcome.done += 1
            state.outcome.makespan = max(now, state.at_leader)
            state.free.append(worker)
            submit(now)
        else:
            state.outcome.deaths += 1
            deaths[item] = deaths.get(item, 0) + 1
            state.add(now + world.restart, "back", worker, -1)
            if deaths[item] < 2 * DEATHS_ALLOWED:
                state.queue.appendleft(item)
            else:
                state.outcome.given_up += 1
                state.outcome.makespan = max(now, state.at_leader)
                submit(now)
        assign(now)
    return state.outcome


def of_matrices(shapes: Iterator[Shape]) -> "list[Item]":
    """The items of one model, the costliest first."""
    items = []
    for shape in shapes:
        size = ENTRY_BYTES * math.prod(shape)
        items.append(Item(seconds(shape), size, BASE_BYTES + memory(shape)))
    return sorted(items, key=lambda item: -item.cost)


def transformer(width: int, inner: int, layers: int, keys: int, vocabulary: int) -> Iterator[Shape]:
    """The matrices of a decoder with gated MLPs and grouped keys and values."""
    for _ in range(layers):
        yield from ((width, width), (keys, width), (keys, width), (width, width))
        yield from ((inner, width), (inner, width), (width, inner))
    yield from ((vocabulary, width), (vocabulary, width))


def zoo(models: int, cost: float, size: int) -> "list[Item]":
    """So many models of about this cost, which varies as models do."""
    factors = np.sort(np.exp(np.random.default_rng(0).normal(0, 0.5, models)))[::-1]
    return [Item(cost * f, int(size * f), BASE_BYTES + int(2 * size * f)) for f in factors]


# What is planned, and how it is said. The seconds of a model in a zoo are those of
# docs/explanation/scale.md: 58 small archives, and one of 360 MB.
PLANS = {
    "70B parameters": lambda: of_matrices(transformer(8192, 28672, 80, 1024, 128256)),
    "405B parameters": lambda: of_matrices(transformer(16384, 53248, 126, 1024, 128256)),
    "a million models of 0.2 MB": lambda: zoo(10**6, 0.029, 200_000),
    "a million models of 360 MB": lambda: zoo(10**6, 5.6, 360_000_000),
}


def limits(items: Sequence[Item], world: World) -> "dict[str, float]":
    """The seconds that a run takes at least, by what limits it."""
    return {
        "the workers": math.fsum(item.cost for item in items) / world.workers,
        "the longest item": max(item.cost for item in items),
        "the leader": world.leader * len(items),
        "the storage": sum(item.size for item in items) / world.shared,
    }


def plan(name: str, items: Sequence[Item], worlds: Sequence[World], seeds: int) -> None:
    """Print one line per cluster."""
    total = math.fsum(item.cost for item in items)
    need = max(item.need for item in items) / GIB
    print(
        f"\n{name}: {len(items)} items, {total / 3600:.0f} hours on one core,"
        f" {sum(item.size for item in items) / 1e9:.0f} GB, up to {need:.1f} GiB of memory"
    )
    for world in worlds:
        found = [simulate(items, world, seed) for seed in range(seeds)]
        least = limits(items, world)
        limit = max(least, key=lambda key: least[key])
        one = found[0]
        print(
            f"{world.workers:7} {world.memory / GIB:4.0f} GiB"
            f" {in_words(median(x.makespan for x in found)):>9}"
            f" (at least {in_words(least[limit])}: {limit}); {one.deaths} deaths,"
            f" {in_words(one.lost)} lost, {one.given_up} given up"
        )


def in_words(duration: float) -> str:
    if duration < 120:
        return f"{duration:.0f} s"
    return f"{duration / 60:.0f} min" if duration < 7200 else f"{duration / 3600:.1f} h"


def measured() -> float:
    """Print what matrices and items take here; returns the leader's seconds per item."""
    from distributed import LocalCluster

    from allennlp_analyze.engine.dask import Dask
    from allennlp_analyze.engine.running import completed
    from allennlp_analyze.linalg.backend import one_blas_thread
    from allennlp_analyze.linalg.spectrum import spectrum

    rng = np.random.default_rng(0)
    with one_blas_thread():
        for shape in ((2048, 2048), (8192, 2048), (4096, 3072)):
            matrix = rng.standard_normal(shape).astype(np.float32)
            started = time.process_time()
            spectrum(matrix, "float32")
            took = time.process_time() - started
            print(f"{shape[0]} x {shape[1]}: {took:.2f} s here, {seconds(shape):.2f} s planned")
    count = 2000
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        started = time.process_time()  # of the leader and of the scheduler, which is in it here
        items = list(range(count))
        for _, result in completed(abs, items, [0] * count, Dask(cluster.scheduler_address)):
            result()
        per_item = (time.process_time() - started) / count
    print(f"an item: {1000 * per_item:.1f} ms of the leader and the scheduler")
    return per_item


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.cluster_plan", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help="measure the costs here first")
    args = parser.parse_args(argv)
    leader = measured() if args.measure else World.leader
    for name, items in PLANS.items():
        worlds = [World(workers, leader=leader) for workers in args.workers]
        if name == "405B parameters":  # one matrix needs more than 4 GiB
            worlds.append(World(args.workers[-1], leader=leader, memory=4 * GIB))
        plan(name, items(), worlds, 1 if name.startswith("a million") else args.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
