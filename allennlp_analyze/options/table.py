"""The table of all options of all entry points, in the order of the help."""

from allennlp_analyze.options.analyzing import ANALYZING
from allennlp_analyze.options.option import Option, Table
from allennlp_analyze.options.presenting import PRESENTING

OPTIONS: tuple[Option, ...] = ANALYZING + PRESENTING
TABLE: Table = {option.name: option for option in OPTIONS}
