"""The comparison on the terminal: every row, in 100 columns, in any encoding."""

from dataclasses import replace

import pytest

from allennlp_analyze.options.names import REFERENCES
from allennlp_analyze.reference.comparison import compare_with_reference
from allennlp_analyze.reference.table import Reference, read_reference
from allennlp_analyze.reports.reference_console import WIDTH, format_reference
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.reference import ReferenceComparison, ReferenceNumbers
from tests.support.references import as_published, layer, table
from tests.support.report_factory import ODD_NAMES

pytestmark = pytest.mark.newest_python


def against(name: str, layers: "list[LayerResult]") -> ReferenceComparison:
    return compare_with_reference(layers, read_reference(name))


@pytest.mark.parametrize("name", REFERENCES)
def test_every_row_is_shown_with_both_sides(name: str) -> None:
    text = format_reference(against(name, as_published(name)))
    lines = text.splitlines()
    assert lines[0].startswith(f"{name}: AllenNLP's model for ")
    assert table(name)[0]["archive"] in " ".join(lines[:2])
    assert f"Reproduced: all {len(table(name))} rows of {name} agree" in text
    assert max(map(len, lines)) <= WIDTH
    assert "nan" not in text and "Marks" not in text and "Without a partner" not in text
    for row in table(name):
        (line,) = [line for line in lines if line.startswith(f"{row['module_index']:>4} ")]
        numbers = line.split()[2:]
        assert numbers[:2] == [row["M"], row["N"]]
        for place, key in ((2, "alpha"), (4, "D"), (6, "min_singular_value")):
            assert numbers[place] == numbers[place + 1]
            if row[key] == "nan":
                assert numbers[place] == "-"
            else:
                assert float(numbers[place]) == pytest.approx(float(row[key]), rel=1e-2)


def test_marks_say_which_rows_do_not_agree() -> None:
    layers = as_published("ner-2018")
    for index, factor in ((2, 1.005), (5, 1.5)):
        fit = layers[index].power_law
        assert fit is not None
        layers[index] = replace(layers[index], power_law=replace(fit, alpha=fit.alpha * factor))
    lines = format_reference(against("ner-2018", layers)).splitlines()
    marked = {line[:4].strip(): line[-1] for line in lines if line[-2:] in (" ~", " !", " -")}
    assert marked == {"25": "~", "30": "!"}
    assert "Largest relative difference: alpha 3.3e-01, D 0.0e+00" in "\n".join(lines)


def test_rows_without_the_other_side_are_told() -> None:
    layers = as_published("ner-2018")
    layers[-1] = replace(layers[-1], shape=(64, 17))
    del layers[0]
    layers.insert(3, layer(7, 9, name="more"))
    lines = format_reference(against("ner-2018", layers)).splitlines()
    assert lines[lines.index("Without a partner:") + 1 :] == [
        "  module 23, 2048 x 4096; no such layer here",
        "  more, 7 x 9: not in the reference",
        "  module 50, 17 x 400; here layer15 17 x 64",
    ]


def test_no_layers_at_all() -> None:
    text = format_reference(against("srl-2018", []))
    assert "Not comparable" in text
    assert text.count("no such layer here") == len(table("srl-2018"))
    assert "Largest" not in text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_odd_names_and_numbers_fit_any_terminal(encoding: str) -> None:
    layers = [layer(12, 10**7, 1e300, 1e-9, 1e-300, name) for name in ODD_NAMES]
    rows = [
        ReferenceNumbers(one.name or None, 10**6, *sizes, -1e300, 1e-9, 1e-300)
        for one, sizes in zip(layers, [(12, 10**7), (10**9, 10**9)] * len(layers))
    ]
    rows += [ReferenceNumbers(f"\x1b[31m{name}\n", alpha=1.0) for name in ODD_NAMES]
    reference = Reference("\x1b.csv", "a table", "a\nb" * 200, tuple(rows))
    text = format_reference(compare_with_reference(layers[:-1], reference), encoding)
    assert all(line.isprintable() and len(line) <= WIDTH for line in text.split("\n"))
    text.encode(encoding)
