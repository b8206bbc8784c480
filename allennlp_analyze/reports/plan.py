"""Shows the plan of an analysis on the terminal, or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from allennlp_analyze._version import VERSION
from allennlp_analyze.results.plan import Plan
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import enumerated

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_NAMED = 3


def plan_json(plan: Plan) -> str:
    """Returns the fields of the plan; each kind has its share of the work."""
    kinds = [{**asdict(kind), "share": plan.share(kind)} for kind in plan.kinds]
    return json.dumps({"version": VERSION, **asdict(plan), "kinds": kinds}, indent=2)


def plan_lines(plan: Plan) -> list[str]:
    """Returns the lines for a terminal."""
    skipped = f"; {count(plan.skipped, 'tensor is', 'tensors are')} skipped" if plan.skipped else ""
    lines = [
        f"{plan.archive}: {count(plan.matrices, 'matrix', 'matrices')} of {plan.weights:,} weights"
        f" to analyze{skipped}",
    ]
    if plan.too_large:
        lines.append(f"too large for max_dim: {enumerated(plan.too_large, _NAMED)}")
    lines += ["", *_table(plan), ""]
    at_once = f"{plan.jobs} at a time on {count(plan.cores, 'core', 'cores')}"
    slowest = f"; the longest is {plan.largest}" if plan.largest else ""
    lines.append(f"time      about {time_text(plan.seconds)}, {at_once}{slowest}")
    lines.append(f"memory    up to {bytes_text(plan.memory)}")
    if plan.remote:
        lines.append(f"download  {bytes_text(plan.fetched)} of {bytes_text(plan.remote)}")
    else:
        lines.append("download  nothing")
    return lines


def _table(plan: Plan) -> Sequence[str]:
    width = max([len(kind.kind) for kind in plan.kinds] + [len("kind")])
    head = f"{'kind':{width}}  matrices          weights  share of the work"
    return [
        head,
        *(
            f"{x.kind:{width}}  {x.matrices:8}  {x.weights:15,}  {100 * plan.share(x):16.0f}%"
            for x in plan.kinds
        ),
    ]


def time_text(seconds: float) -> str:
    """Returns a time in words, no more exact than an estimate is."""
    if seconds < 1:
        return "a second"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def bytes_text(size: int) -> str:
    """Returns a number of bytes in decimal units, with three digits."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{float(f'{size / unit:.3g}'):g} {name}"
    return count(size, "byte", "bytes")
