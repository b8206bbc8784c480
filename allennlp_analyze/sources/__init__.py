"""URL or path -> named tensors, nothing executed."""
