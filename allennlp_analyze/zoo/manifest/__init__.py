"""Reads and checks the manifest of a zoo."""
