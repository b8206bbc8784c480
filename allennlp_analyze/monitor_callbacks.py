"""The callbacks of trainers, under the name that users import; they live in `monitor.trainers`."""

from allennlp_analyze.monitor.trainers import hugging_face_callback, lightning_callback

__all__ = ["hugging_face_callback", "lightning_callback"]
