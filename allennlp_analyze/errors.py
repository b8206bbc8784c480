"""The exceptions that end a run with one line and an exit code."""

from dataclasses import dataclass
from typing import Callable

# How a front door writes the option of a name: `--max-dim`, `max_dim`.
Spelling = Callable[["Advice"], str]


@dataclass(frozen=True)
class Advice:
    """What may be done: `text`, in which {} stands for the option (a field's name).

    A `switch` is given without a value on the command line, and as `name=True` in Python.
    """

    option: str
    text: str
    switch: bool = False

    def worded(self, spelled: Spelling) -> str:
        """The text as the front door says it that writes options so."""
        return self.text.replace("{}", spelled(self), 1)


def as_keyword(advice: Advice) -> str:
    """The option as Python has it."""
    return f"{advice.option}=True" if advice.switch else advice.option


@dataclass(frozen=True)
class Message:
    """One line for the user: what happened, and what may be done about it."""

    text: str
    advice: tuple[Advice, ...] = ()

    def worded(self, spelled: Spelling) -> str:
        """The line as the front door says it that writes options so."""
        advised = ", ".join(advice.worded(spelled) for advice in self.advice)
        return f"{self.text}; {advised}" if advised else self.text

    def __str__(self) -> str:
        return self.worded(as_keyword)


class AnalyzeError(Exception):
    """Base of every error that a user can cause; its text is the one line that the user sees.

    The `advice` names options by their fields: as a string it is in the terms of Python, and
    `worded` is for the other front doors.
    """

    exit_code = 1

    def __init__(self, text: str = "", *advice: Advice) -> None:
        super().__init__(text, *advice)
        self.text = text
        self.advice = advice

    def worded(self, spelled: Spelling) -> str:
        """The line as the front door says it that writes options so."""
        return Message(self.text, self.advice).worded(spelled)

    def __str__(self) -> str:
        return self.worded(as_keyword)


class UsageError(AnalyzeError):
    """The user asks for something that cannot be: nothing was read or written."""

    exit_code = 2


class OptionError(UsageError):
    """An option (`option` is its field's name) has a value that cannot be, for this `reason`."""

    def __init__(self, option: str, reason: str, *advice: Advice) -> None:
        super().__init__(reason, *advice)
        self.args = (option, reason, *advice)  # what pickle calls the class with
        self.option = option
        self.reason = reason

    def worded(self, spelled: Spelling) -> str:
        """The option as that front door writes it, then the reason."""
        return f"{spelled(Advice(self.option, ''))}: {super().worded(spelled)}"


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
