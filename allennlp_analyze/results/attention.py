"""The results for one block of attention: the largest logits that its weights allow."""

from dataclasses import dataclass
from typing import Optional

# A softmax over logits this small gives all keys nearly the same weight, whatever the input.
SMALLEST_LOGIT = 0.1
# Larger numbers are infinite in float16.
LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True)
class AttentionLogits:
    """The largest logits of one block of attention, one for each head of queries.

    `name` is the path of its module, `query` and `key` the layers of the projections. Head h has
    the logits `scale` * x^T W_q,h^T W_k,h y, without biases, and with rotary embeddings at distance
    0. `unit_logits` are the largest for x and y of norm 1, with the gain of the parameter `norm`
    taken in if a LayerNorm or RMSNorm precedes both projections. `max_logits` are the largest for
    what such a normalization gives; None if none is known, since inputs may then have any norm.
    With normalized queries and keys (`norm` is the gain of the queries) there are only
    `max_logits`.

    Without numbers, `reason` says why.
    """

    name: str
    query: str
    key: str
    n_heads: Optional[int] = None
    n_key_heads: Optional[int] = None
    head_size: Optional[int] = None
    scale: Optional[float] = None
    norm: Optional[str] = None
    unit_logits: tuple[float, ...] = ()
    max_logits: Optional[tuple[float, ...]] = None
    reason: Optional[str] = None

    @property
    def logits(self) -> tuple[float, ...]:
        """`max_logits` if they are known, else `unit_logits`."""
        return self.unit_logits if self.max_logits is None else self.max_logits

    @property
    def flat_heads(self) -> tuple[int, ...]:
        """The heads that cannot prefer any key: their logits stay below SMALLEST_LOGIT."""
        found = self.max_logits or ()
        return tuple(i for i, logit in enumerate(found) if logit < SMALLEST_LOGIT)

    @property
    def overflowing_heads(self) -> tuple[int, ...]:
        """The heads whose logits can be infinite in float16."""
        found = self.max_logits or ()
        return tuple(i for i, logit in enumerate(found) if logit > LARGEST_FLOAT16)
