"""Formats the results of the speed benchmark: a table, targets and JSON."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Optional

from threadpoolctl import threadpool_info

from allennlp_analyze.linalg.machine import this_machine
from scripts.benchmarks.work import Work

PACKAGES = ("numpy", "torch", "powerlaw")
LINE = "{:<14} {:<24} {:>10} {:>8}"
TARGET_LINE = "{:<39} {:>10}  {}"
NOTES = """\
Seconds are medians.
floor: only numpy's syrk and eigvalsh, in float64; the faster of its rows counts.
svd: singular values only, in float64, with all BLAS threads; the faster of its rows counts.
weightwatcher: analyze(plot=False) in an interpreter of its own.
2018: numpy.linalg.svd(W, full_matrices=True) in float32 and powerlaw.Fit, as the study of that
year; measured once, on one matrix of each shape, and scaled by their counts.
The conversion from float32 to float64 counts wherever it is made."""


@dataclass(frozen=True)
class Measurement:
    """One contestant on one work: the seconds of its rounds."""

    method: str
    label: str
    rounds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class WorkResult:
    """All measurements on one work; the first is ours."""

    work: Work
    measurements: tuple[Measurement, ...]

    def times_ours(self, measurement: Measurement) -> float:
        return measurement.seconds / self.measurements[0].seconds

    def fastest(self, method: str) -> Optional[float]:
        """Times ours of the fastest variant of `method`; None when it was not measured."""
        found = (self.times_ours(m) for m in self.measurements if m.method == method)
        return min(found, default=None)


@dataclass(frozen=True)
class Target:
    """`method` takes at least `factor` times our seconds, or, with `at_most`, we take at most
    `factor` times the seconds of `method`."""

    work: str
    method: str
    factor: float
    at_most: bool = False

    def __str__(self) -> str:
        if self.at_most:
            return f"{self.work}: ours <= {self.factor:g} x {self.method}"
        return f"{self.work}: {self.method} >= {self.factor:g} x ours"

    def ratio(self, result: WorkResult) -> Optional[float]:
        """What is to be compared with `factor`; None when it was not measured."""
        times = result.fastest(self.method)
        return 1 / times if times is not None and self.at_most else times

    def reached(self, result: WorkResult) -> Optional[bool]:
        """None when it was not measured."""
        ratio = self.ratio(result)
        if ratio is None:
            return None
        return ratio <= self.factor if self.at_most else ratio >= self.factor


TARGETS = (
    Target("ner", "floor", 1.3, at_most=True),
    Target("ner", "weightwatcher", 6),
    Target("ner", "2018", 200),
    Target("4096", "svd", 3),
    Target("vgg", "weightwatcher", 2),
    Target("powerlaw", "powerlaw", 10),
)


def machine(peer: Optional[dict[str, str]]) -> dict[str, Any]:
    """What the times depend on; `peer`: the versions in the interpreter that has WeightWatcher."""
    facts = ("internal_api", "version", "architecture", "num_threads")
    return {
        "cores": this_machine().cores,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "blas": [
            {fact: library.get(fact) for fact in facts}
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ],
        "weightwatcher": peer,
    }


def _version(package: str) -> Optional[str]:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine_lines(facts: dict[str, Any]) -> Iterator[str]:
    installed = [f"{name} {facts[name]}" for name in ("python", *PACKAGES) if facts[name]]
    yield f"{facts['cores']} cores, load {facts['load_before']:.2f} before; {', '.join(installed)}"
    if not facts["torch"]:
        yield "torch is not installed, so its SVD is skipped"
    for blas in facts["blas"]:
        yield "BLAS: {internal_api} {version}, {architecture}, {num_threads} threads".format(**blas)
    if facts["weightwatcher"]:
        versions = (f"{name} {number}" for name, number in facts["weightwatcher"].items())
        yield f"weightwatcher's interpreter: {', '.join(versions)}"


def header() -> str:
    return LINE.format("work", "contestant", "seconds", "x ours")


def work_lines(result: WorkResult) -> Iterator[str]:
    """A line per measurement."""
    for m in result.measurements:
        times = result.times_ours(m)
        yield LINE.format(result.work.name, m.label, _number(m.seconds), _number(times))


def _number(value: float) -> str:
    """Three significant digits, and never an exponent for a large one."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def target_lines(results: Iterable[WorkResult]) -> Iterator[str]:
    """A line per target on the works that were measured, under a heading where there is any."""
    words = {True: "reached", False: "missed", None: "not measured"}
    targets = _targets(results)
    if targets:
        yield TARGET_LINE.format("target", "ratio", "result")
    for target, result in targets:
        ratio = target.ratio(result)
        number = "-" if ratio is None else _number(ratio)
        yield TARGET_LINE.format(str(target), number, words[target.reached(result)])


def _targets(results: Iterable[WorkResult]) -> list[tuple[Target, WorkResult]]:
    by_name = {result.work.name: result for result in results}
    return [(target, by_name[target.work]) for target in TARGETS if target.work in by_name]


def as_json(facts: dict[str, Any], seed: int, results: Sequence[WorkResult]) -> dict[str, Any]:
    """Seconds are medians of `rounds` runs."""
    targets = [
        {
            "target": str(target),
            "ratio": target.ratio(result),
            "reached": target.reached(result),
        }
        for target, result in _targets(results)
    ]
    works = [_work_json(result) for result in results]
    return {"machine": facts, "seed": seed, "works": works, "targets": targets}


def _work_json(result: WorkResult) -> dict[str, Any]:
    return {
        "work": result.work.name,
        "about": result.work.about,
        "matrices": [[*shape, count] for shape, count in Counter(result.work.shapes).items()],
        "contestants": [
            {
                "contestant": m.label,
                "seconds": m.seconds,
                "times_ours": result.times_ours(m),
                "min": min(m.rounds),
                "max": max(m.rounds),
                "rounds": len(m.rounds),
            }
            for m in result.measurements
        ],
    }
