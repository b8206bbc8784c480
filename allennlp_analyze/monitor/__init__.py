"""Monitors the ranks of a network during training: `RankMonitor` and the trainer callbacks."""

from typing import TYPE_CHECKING

from allennlp_analyze._lazy import lazily

if TYPE_CHECKING:
    from allennlp_analyze.monitor.monitor import RankMonitor
    from allennlp_analyze.monitor.run_history import RunHistory, read_run_history
    from allennlp_analyze.monitor.story import write_run_page
    from allennlp_analyze.monitor.trainers import hugging_face_callback, lightning_callback

__all__ = [
    "RankMonitor",
    "RunHistory",
    "hugging_face_callback",
    "lightning_callback",
    "read_run_history",
    "write_run_page",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "RankMonitor": "allennlp_analyze.monitor.monitor",
        "RunHistory": "allennlp_analyze.monitor.run_history",
        "read_run_history": "allennlp_analyze.monitor.run_history",
        "write_run_page": "allennlp_analyze.monitor.story",
        "hugging_face_callback": "allennlp_analyze.monitor.trainers",
        "lightning_callback": "allennlp_analyze.monitor.trainers",
    },
)
