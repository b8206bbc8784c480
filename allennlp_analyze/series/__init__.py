"""One training over time: its checkpoints in order, each analyzed, and what began when."""
