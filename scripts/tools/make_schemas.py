"""Write what the schemas say of metrics, verdicts and causes, from their tables.

    python -m scripts.tools.make_schemas [--check]

Everything else in the files stays as it is: it is written by hand. With --check nothing is
written; the exit code is 1 where a file is not what would be written.
"""

import json
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from allennlp_analyze.metrics.catalogue import CATALOGUE, in_report
from allennlp_analyze.metrics.metric import COUNT, EIGENVALUES, FLOAT, TEXT, WEIGHTS, WHOLE, Metric
from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.verdict import ADAPTER_VERDICTS, LAYER_VERDICTS, Verdict
from scripts.tools.generated import ROOT, write_or_check

SCHEMAS = ROOT / "allennlp_analyze" / "data" / "schemas"
REPORT = SCHEMAS / "report.schema.json"
COMPARISON = SCHEMAS / "compare.schema.json"
ZOO = SCHEMAS / "zoo.schema.json"
SERIES = SCHEMAS / "series.schema.json"
UNITS = {WEIGHTS: "the weights", EIGENVALUES: "the eigenvalues of W^T W (weights squared)"}
TYPES = {FLOAT: "number", WHOLE: "integer", COUNT: "integer", TEXT: "string"}


def report_schema() -> dict[str, Any]:
    """The schema of report.json. What an object of several numbers is stands in the file."""
    schema = _read(REPORT)
    definitions = schema["$defs"]
    layer = definitions["layer"]
    objects: dict[str, list[Metric]] = {}
    properties = {}
    for metric in in_report():
        name, _, part = metric.key.partition(".")
        if part:
            objects.setdefault(name, []).append(metric)
        properties[name] = layer["properties"][name] if part else _property(metric)
    _fill(layer, properties.items())
    definitions["finding"]["properties"]["cause"]["enum"] = [cause.value for cause in Cause]
    definitions["adapter"]["properties"]["verdict"]["enum"] = _values(ADAPTER_VERDICTS)
    for name, metrics in objects.items():
        _fill(definitions[name], ((m.key.partition(".")[2], _property(m)) for m in metrics))
    return schema


def comparison_schema() -> dict[str, Any]:
    """The schema of compare.json."""
    schema = _read(COMPARISON)
    _fill(schema["$defs"]["pair"]["properties"]["differences"], _differences())
    return schema


def zoo_schema() -> dict[str, Any]:
    """The schema of zoo.json."""
    schema = _read(ZOO)
    schema["$defs"]["cause"]["properties"]["cause"]["enum"] = [cause.value for cause in Cause]
    return schema


def _read(path: Path) -> dict[str, Any]:
    """The schema in a file, with its lists of verdicts filled."""
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    _fill_verdicts(schema)
    return schema


def _fill_verdicts(node: Any) -> None:
    """Fill every list and every table of counts below `node` that contains NOT_ASSESSED."""
    if isinstance(node, dict):
        if Verdict.NOT_ASSESSED in node.get("enum", ()):
            node["enum"] = _values(_meant(node["enum"]))
        counts = node.get("properties", {})
        if Verdict.NOT_ASSESSED in counts:
            _fill(node, [(name, _count(counts, name)) for name in _values(_meant(counts))])
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list)):
            _fill_verdicts(child)


def _meant(listed: Container[str]) -> Iterable[Verdict]:
    """Verdicts on models, of which INVALID is one, or on layers."""
    return Verdict if Verdict.INVALID in listed else LAYER_VERDICTS


def _values(verdicts: Iterable[Verdict]) -> list[str]:
    return [verdict.value for verdict in verdicts]


def _count(counts: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The property with the number of a verdict, worded as that of NOT_ASSESSED."""
    known = counts[Verdict.NOT_ASSESSED]
    return {**known, "description": known["description"].replace(Verdict.NOT_ASSESSED, name)}


def _differences() -> Iterator[tuple[str, Any]]:
    for metric in CATALOGUE:
        if metric.compared:
            text = _description(metric)
            if metric.size_free:
                text = f"{text[:-1]}; comparable whatever the size."
            yield metric.names[0], {"$ref": "#/$defs/difference", "description": text}


def _fill(node: dict[str, Any], properties: Iterable[tuple[str, Any]]) -> None:
    node["properties"] = dict(properties)
    node["required"] = list(node["properties"])


def _property(metric: Metric) -> dict[str, Any]:
    given = dict(metric.schema)
    if not given.keys() & {"type", "enum", "oneOf"}:
        nullable = metric.nullable or metric.compute is not None
        given["type"] = [TYPES[metric.kind], "null"] if nullable else TYPES[metric.kind]
    first = {key: given.pop(key) for key in ("type", "enum") if key in given}
    return {**first, "description": _description(metric), **given}


def _description(metric: Metric) -> str:
    unit = UNITS.get(metric.unit)
    return f"{metric.description[:-1]}, in units of {unit}." if unit else metric.description


def main(argv: Optional[list[str]] = None) -> int:
    """Write the schemas, or check them; the exit code."""
    return write_or_check(
        "scripts.tools.make_schemas",
        __doc__,
        lambda: {
            path: json.dumps(schema, indent=2) + "\n"
            for path, schema in (
                (REPORT, report_schema()),
                (COMPARISON, comparison_schema()),
                (ZOO, zoo_schema()),
                (SERIES, _read(SERIES)),
            )
        },
        argv,
    )


if __name__ == "__main__":
    sys.exit(main())
