"""The error for a damaged file, which is worth downloading again."""

from allennlp_analyze.errors import SourceError


class DamagedError(SourceError):
    """A file is truncated, fails its checksum, or has an unexpected format."""
