"""The comparison of models: what collapsed, recovered or moved."""
