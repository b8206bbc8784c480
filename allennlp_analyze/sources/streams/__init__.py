"""Readers of compressed archives that read forwards only."""
