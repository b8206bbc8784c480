"""The analysis of many models in one report, with `run_zoo` and `ZooRequest`."""

from typing import TYPE_CHECKING

from allennlp_analyze._lazy import lazily

if TYPE_CHECKING:
    from allennlp_analyze.zoo.run import ZooRequest, run_zoo

__all__ = ["ZooRequest", "run_zoo"]
__getattr__, __dir__ = lazily(__name__, dict.fromkeys(__all__, "allennlp_analyze.zoo.run"))
