"""Write the attributes of a layer, one for each column of layers.csv, from the catalogue.

    python -m scripts.tools.make_attributes [--check]

They are a module, not made when the package is imported, so that editors and type checkers know
them. A column that `LayerResult` itself has is left out. With --check nothing is written; the exit
code is 1 where the module is not what would be written.
"""

import dataclasses
import sys
import textwrap
import typing
from collections.abc import Iterator
from typing import Optional

from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.metrics.metric import COUNT, FLOAT, TEXT, WHOLE, Metric
from allennlp_analyze.results.layer import LayerResult
from scripts.tools.generated import ROOT, write_or_check

MODULE = ROOT / "allennlp_analyze" / "results" / "attributes.py"
HEAD = '''"""The attributes of a layer that read its metrics, one for each column of layers.csv."""

# Made by scripts/tools/make_attributes.py from the catalogue of metrics.

from typing import Optional

from allennlp_analyze.results.attribute import Attribute


class LayerAttributes:
    """The numbers of a layer under the names that they have in layers.csv and data frames.

    docs/reference/metrics.md explains each. An undefined one is None.
    """

'''
INDENT = 4 * " "
WIDTH = 100 - len(INDENT)
_TYPES = {FLOAT: "float", WHOLE: "int", COUNT: "int", TEXT: "str"}
_FIELDS = {field.name for field in dataclasses.fields(LayerResult)}
_HINTS = typing.get_type_hints(LayerResult)


def make_module() -> str:
    """The text of the module as it should be."""
    return HEAD + "".join(
        f'    {name} = Attribute[{_type(metric)}]("{_place(metric)}")\n{_docstring(metric)}'
        for name, metric in _attributes()
    )


def _attributes() -> Iterator[tuple[str, Metric]]:
    for metric in in_report():
        if len(metric.names) == 1:
            for name in (*metric.names, *metric.attributes):
                if name not in _FIELDS and name not in vars(LayerResult):
                    yield name, metric


def _docstring(metric: Metric) -> str:
    text = f'"""{metric.description}"""'
    return f"{textwrap.indent(textwrap.fill(text, WIDTH), INDENT)}\n"


def _place(metric: Metric) -> str:
    return metric.key if metric.compute is None else f"metrics.{metric.key}"


def _type(metric: Metric) -> str:
    head = _place(metric).partition(".")[0]
    # The objects that every layer has are not optional, nor are their numbers.
    optional = metric.nullable or metric.compute or type(None) in typing.get_args(_HINTS.get(head))
    kind = _TYPES[metric.kind]
    return f"Optional[{kind}]" if optional else kind


def main(argv: Optional[list[str]] = None) -> int:
    """Write the module, or check it; the exit code."""
    return write_or_check(
        "scripts.tools.make_attributes", __doc__, lambda: {MODULE: make_module()}, argv
    )


if __name__ == "__main__":
    sys.exit(main())
