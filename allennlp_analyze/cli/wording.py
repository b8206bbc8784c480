"""How options are written on the command line."""

from allennlp_analyze.errors import Advice
from allennlp_analyze.options.option import Option
from allennlp_analyze.options.table import TABLE


def flag(option: Option) -> str:
    """The option as it is typed."""
    return f"--{option.flag or option.name.replace('_', '-')}"


def spelled(advice: Advice) -> str:
    """The option that an error names, as it is typed; one of a script's own likewise."""
    if advice.option in TABLE:
        return flag(TABLE[advice.option])
    return f"--{advice.option.replace('_', '-')}"
