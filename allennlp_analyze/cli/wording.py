"""Spells options as on the command line."""

from allennlp_analyze.errors import Advice
from allennlp_analyze.options.option import Option
from allennlp_analyze.options.table import TABLE


def flag(option: Option) -> str:
    """Returns the option as it is typed."""
    return f"--{option.flag or option.name.replace('_', '-')}"


def spelled(advice: Advice) -> str:
    """Returns the option in an error's advice as it is typed."""
    if advice.option in TABLE:
        return flag(TABLE[advice.option])
    return f"--{advice.option.replace('_', '-')}"
