"""The results of an analysis as frozen dataclasses."""
