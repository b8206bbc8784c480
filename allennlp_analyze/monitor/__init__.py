"""Monitors the ranks of a network during training: `RankMonitor` and the trainer callbacks."""

from typing import TYPE_CHECKING

from allennlp_analyze._lazy import lazily

if TYPE_CHECKING:
    from allennlp_analyze.monitor.monitor import RankMonitor
    from allennlp_analyze.monitor.trainers import hugging_face_callback, lightning_callback

__all__ = ["RankMonitor", "hugging_face_callback", "lightning_callback"]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "RankMonitor": "allennlp_analyze.monitor.monitor",
        "hugging_face_callback": "allennlp_analyze.monitor.trainers",
        "lightning_callback": "allennlp_analyze.monitor.trainers",
    },
)
