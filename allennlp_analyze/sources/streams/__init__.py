"""Compressed archives, read as they stream."""
