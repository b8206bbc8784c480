"""The exceptions that end a run with one line and an exit code."""


class AnalyzeError(Exception):
    """Base of every error that a user can cause; its text is the one line that the user sees."""

    exit_code = 1


class UsageError(AnalyzeError):
    """The command line asks for something that cannot be: nothing was read or written."""

    exit_code = 2


class SourceError(AnalyzeError):
    """An archive, directory, URL or configuration cannot be read."""


class CheckpointError(SourceError):
    """A weights file is damaged, unsupported, or asks for code to be executed."""


class TensorError(AnalyzeError):
    """The values of one tensor cannot be analyzed; the other tensors can."""


class InvalidTensorError(TensorError):
    """A tensor holds NaN or infinity: no network with it is healthy."""


class OutputError(AnalyzeError):
    """A report cannot be written where it was asked for."""
