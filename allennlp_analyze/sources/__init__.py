"""Model archives as lazily readable named tensors; nothing in them is executed."""

from allennlp_analyze.sources.open import open_source
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor

__all__ = ["Source", "StoredTensor", "open_source"]
