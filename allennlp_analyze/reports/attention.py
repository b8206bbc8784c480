"""The texts about the largest logits of attention, where they are notable."""

from collections.abc import Sequence
from typing import Callable

from allennlp_analyze.results.attention import AttentionLogits
from allennlp_analyze.text.counts import count


def attention_lines(blocks: Sequence[AttentionLogits]) -> list[str]:
    """Returns a line for heads that cannot prefer any key, and one for logits beyond float16."""
    lines = []
    for heads, words in _NOTABLE:
        found = [(block, heads(block)) for block in blocks if heads(block)]
        if found:
            total = sum(len(numbers) for _, numbers in found)
            all_heads = sum(len(block.logits) for block in blocks)
            first, numbers = found[0]
            logit = first.logits[numbers[0]]
            lines.append(
                f"Attention: {total} of {count(all_heads, 'head')} {words}"
                f" ({first.name}, head {numbers[0]}: largest possible logit {logit:.3g})."
            )
    return lines


_NOTABLE: tuple[tuple[Callable[[AttentionLogits], tuple[int, ...]], str], ...] = (
    (lambda block: block.flat_heads, "cannot prefer any key"),
    (lambda block: block.overflowing_heads, "can have logits that are infinite in float16"),
)
