"""The texts about a group of experts, for the terminal, the page and report.json."""

from typing import Any, Optional

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.results.experts import ExpertGroup
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import enumerated

NUMBERS_NAMED = 12


def about_experts(group: ExpertGroup) -> str:
    """Returns how many experts there are, and which are the worst, dead and collapsed ones."""
    return "; ".join(
        [f"{count(len(group.numbers), 'expert')}, worst: {group.numbers[0]}", *lost(group)]
    )


def lost(group: ExpertGroup) -> list[str]:
    """Returns the numbers of the experts that are dead, collapsed or otherwise not at full rank."""
    found = {"dead": group.dead, "collapsed": group.collapsed, "not at full rank": group.weak}
    return [
        f"{len(numbers)} {what}: {enumerated([str(n) for n in numbers], NUMBERS_NAMED)}"
        for what, numbers in found.items()
        if numbers
    ]


def finding_line(group: ExpertGroup) -> Optional[str]:
    """Returns what was found in the worst expert with a finding; None if there is no finding."""
    for number, layer in zip(group.numbers, group.layers):
        if layer.evidence and layer.evidence.findings:
            about = about_experts(group)
            return f"{group.name}: {about}; expert {number}: {layer.evidence.reason}."
    return None


def group_to_dict(group: ExpertGroup) -> dict[str, Any]:
    """Returns one entry of `expert_groups` in report.json."""
    return {
        "name": group.name,
        "verdict": group.verdict.value,
        "experts": [
            {"expert": number, "layer": layer.name}
            for number, layer in zip(group.numbers, group.layers)
        ],
        "dead": list(group.dead),
        "collapsed": list(group.collapsed),
        "medians": {m.names[0]: group.median(m.read) for m in CATALOGUE if m.page is not None},
    }
