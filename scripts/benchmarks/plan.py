"""Compare the times that a plan estimates with those that an analysis takes.

For each work of the speed benchmark: the estimate from the trial of this machine, then an analysis.
Wall seconds count on a machine without other work; CPU seconds, of all threads, on a busy one.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Optional

import allennlp_analyze
from allennlp_analyze.analysis.trial import measured
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.settings import Settings
from scripts.benchmarks.work import WORKS, draw

FACTOR = 1.5


def main(arguments: Optional[Sequence[str]] = None) -> int:
    known = [name for name, work in WORKS.items() if not work.spectrum]
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.plan", description=__doc__)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"default: {' '.join(known)}")
    parser.add_argument("--runs", type=int, default=1, help="the median of so many (default: 1)")
    args = parser.parse_args(arguments)
    started = time.perf_counter()
    speed, machine = measured(Settings()), this_machine()
    print(f"trial: {time.perf_counter() - started:.1f} s; load {os.getloadavg()[0]:.1f}")
    print("work  wall s, plan  took  ratio  CPU s, plan  took  ratio")
    worst = 1.0
    for name in args.works or known:
        matrices = {str(i): x for i, x in enumerate(draw(WORKS[name], seed=0))}
        shapes = [(x.shape[0], x.shape[1]) for x in matrices.values()]
        planned = speed.total(shapes, machine.cores, machine)
        work = sum(speed.seconds(shape) for shape in shapes)
        walls, cpus = [], []
        for _ in range(args.runs):
            before, cpu = time.perf_counter(), time.process_time()
            allennlp_analyze.analyze(matrices)
            walls.append(time.perf_counter() - before)
            cpus.append(time.process_time() - cpu)
        wall, cpu = sorted(walls)[len(walls) // 2], sorted(cpus)[len(cpus) // 2]
        print(
            f"{name:5} {planned:11.2f}  {wall:5.2f}  {planned / wall:4.2f}"
            f"  {work:11.2f}  {cpu:5.2f}  {work / cpu:4.2f}"
        )
        worst = max(worst, work / cpu, cpu / work)
    print(f"CPU seconds within a factor of {worst:.2f} (target: {FACTOR})")
    return 0 if worst <= FACTOR else 1


if __name__ == "__main__":
    sys.exit(main())
