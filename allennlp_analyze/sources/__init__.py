"""Reads a URL or path into named tensors without executing anything."""
