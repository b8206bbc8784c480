"""Compares the largest logits of attention of two models."""

from collections.abc import Sequence

from allennlp_analyze.compare.results import AttentionGrowth, LayerPair
from allennlp_analyze.results.attention import AttentionLogits
from allennlp_analyze.results.layer import ModelReport

# Growth by less than this factor is no line on the terminal.
NOTABLE_GROWTH = 2.0


def attention_growth(
    baseline: ModelReport, candidate: ModelReport, pairs: Sequence[LayerPair]
) -> tuple[AttentionGrowth, ...]:
    """Returns the blocks of both models with logits of the same kind and as many heads.

    Two blocks belong together if their projections of queries are a pair of layers.
    """
    names = {pair.baseline.name: pair.candidate.name for pair in pairs}
    others = {block.query: block for block in candidate.attention}
    found = []
    for block in baseline.attention:
        other = others.get(names.get(block.query, ""))
        if other is None or not block.logits or len(block.logits) != len(other.logits):
            continue
        if _is_normalized(block) == _is_normalized(other):
            found.append(AttentionGrowth(block.name, other.name, block.logits, other.logits))
    return tuple(found)


def _is_normalized(block: AttentionLogits) -> bool:
    return block.max_logits is not None


def growth_lines(blocks: Sequence[AttentionGrowth], name: str) -> list[str]:
    """Returns a line about the head whose largest logit grew most, if it at least doubled."""
    grown = [block for block in blocks if (block.largest_ratio or 0.0) >= NOTABLE_GROWTH]
    if not grown:
        return []
    worst = max(grown, key=lambda block: block.largest_ratio or 0.0)
    head = worst.largest_head
    return [
        f"Attention: the largest possible logits grew most in {worst.name}, head {head}:"
        f" {worst.baseline[head]:.3g} in A, {worst.candidate[head]:.3g} in {name}"
        f" ({worst.largest_ratio:.3g} times)."
    ]
