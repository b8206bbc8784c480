"""Models side by side: what collapsed, recovered or moved."""
