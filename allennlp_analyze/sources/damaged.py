"""The error of a file whose bytes are not what was published: worth downloading again."""

from allennlp_analyze.errors import SourceError


class DamagedError(SourceError):
    """A file is truncated, fails its checksum, or is not of the kind it should be."""
