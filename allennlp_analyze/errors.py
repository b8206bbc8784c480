"""The exceptions that end a run with one line and an exit code."""

from dataclasses import dataclass
from typing import Callable

# Spells an option as an entry point does: `--max-dim`, `max_dim`.
Spelling = Callable[["Advice"], str]


@dataclass(frozen=True)
class Advice:
    """A remedy: `text`, in which {} stands for the option (a field's name).

    A `switch` has no value on the command line, and is `name=True` in Python.
    """

    option: str
    text: str
    switch: bool = False

    def worded(self, spelled: Spelling) -> str:
        """Returns the text with the option spelled by `spelled`."""
        return self.text.replace("{}", spelled(self), 1)


def as_keyword(advice: Advice) -> str:
    """Spells the option as a Python keyword."""
    return f"{advice.option}=True" if advice.switch else advice.option


@dataclass(frozen=True)
class Message:
    """One line for the user: what happened, and the remedy."""

    text: str
    advice: tuple[Advice, ...] = ()

    def worded(self, spelled: Spelling) -> str:
        """Returns the line with options spelled by `spelled`."""
        advised = ", ".join(advice.worded(spelled) for advice in self.advice)
        return f"{self.text}; {advised}" if advised else self.text

    def __str__(self) -> str:
        return self.worded(as_keyword)


class AnalyzeError(Exception):
    """Base of every error that a user can cause; its text is the one line that the user sees.

    The `advice` names options by their fields. `str` spells them as Python keywords; `worded` does
    so for other entry points.
    """

    exit_code = 1

    def __init__(self, text: str = "", *advice: Advice) -> None:
        super().__init__(text, *advice)
        self.text = text
        self.advice = advice

    def worded(self, spelled: Spelling) -> str:
        """Returns the line with options spelled by `spelled`."""
        return Message(self.text, self.advice).worded(spelled)

    def __str__(self) -> str:
        return self.worded(as_keyword)


class UsageError(AnalyzeError):
    """The request is invalid; nothing was read or written."""

    exit_code = 2


class OptionError(UsageError):
    """An option has an invalid value; `option` is its field's name, `reason` says what is wrong."""

    def __init__(self, option: str, reason: str, *advice: Advice) -> None:
        super().__init__(reason, *advice)
        self.args = (option, reason, *advice)  # the arguments with which pickle calls the class
        self.option = option
        self.reason = reason

    def worded(self, spelled: Spelling) -> str:
        """Returns the option spelled by `spelled`, then the reason."""
        return f"{spelled(Advice(self.option, ''))}: {super().worded(spelled)}"


class SourceError(AnalyzeError):
    """An archive, directory, URL or configuration cannot be read."""


class UnreachableError(SourceError):
    """A server stopped sending a file that is read in parts; what was read so far holds."""


class CheckpointError(SourceError):
    """A weights file is damaged, unsupported, or would execute code."""


class TensorError(AnalyzeError):
    """The values of one tensor cannot be analyzed; the other tensors can."""


class InvalidTensorError(TensorError):
    """A tensor contains NaN or infinity, so the network cannot be healthy."""


class OutputError(AnalyzeError):
    """A report cannot be written to the requested place."""
