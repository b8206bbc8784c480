"""References are read as they were written, and what is none is one line that says where."""

import contextlib
import csv
import io
import json
import math
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.options.names import REFERENCES
from allennlp_analyze.reference.table import MAX_BYTES, MAX_ROWS, read_reference
from allennlp_analyze.reports.console import table_2018
from allennlp_analyze.reports.csv import write_csv
from allennlp_analyze.reports.json import write_json
from allennlp_analyze.results.reference import ReferenceNumbers
from tests.support.references import MODEL_OF, PUBLISHED, table
from tests.support.report_factory import ODD_NAMES, gaussian, heavy_tailed, make_layer, make_report

pytestmark = pytest.mark.newest_python
COLUMNS = ("name", "module_index", "M", "N", "alpha", "D", "min_singular_value")
HEADER = "name,M,N,alpha,D,min_singular_value\n"


@pytest.mark.parametrize("name", REFERENCES)
def test_every_published_row_is_read(name: str) -> None:
    reference = read_reference(name)
    rows = table(name)
    assert reference.name == name
    assert reference.archive == rows[0]["archive"]
    assert len(reference.rows) == len(rows)
    for found, row in zip(reference.rows, rows):
        assert (found.module_index, found.M, found.N) == (
            int(row["module_index"]),
            int(row["M"]),
            int(row["N"]),
        )
        assert found.min_singular_value == float(row["min_singular_value"])
        for number in ("alpha", "D"):
            value = getattr(found, number)
            assert (math.nan if value is None else value) == pytest.approx(
                float(row[number]), rel=0, abs=0, nan_ok=True
            )
        assert found.name is None
    assert set(REFERENCES) == set(MODEL_OF)


def test_tables_are_the_shared_facts() -> None:
    shared = PUBLISHED.parent.parent.parent / "shared" / "published"
    if not shared.is_dir():
        pytest.skip("the published tables (../shared/published) are not on this machine")
    originals = [path for path in shared.iterdir() if path.suffix in {".csv", ".json"}]
    assert originals
    for path in originals:
        assert (PUBLISHED / path.name).read_bytes() == path.read_bytes()


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


@st.composite
def numbers(draw: Any, name: Optional[str]) -> ReferenceNumbers:
    sizes = sorted(draw(st.tuples(*[st.integers(1, 10**6)] * 2)))
    if name is not None and draw(st.booleans()):
        sizes = [draw(st.sampled_from([None, sizes[0]])), None]
    return ReferenceNumbers(
        name,
        draw(st.none() | st.integers(0, 10**4)),
        *sizes,
        draw(st.none() | finite),
        draw(st.none() | st.floats(0, 1)),
        draw(st.none() | st.floats(0, allow_infinity=False)),
    )


@st.composite
def tables(draw: Any) -> "list[ReferenceNumbers]":
    names = draw(st.lists(texts | st.sampled_from(PLAIN), unique=True, min_size=1, max_size=5))
    return [draw(numbers(draw(st.sampled_from([name, None])))) for name in names]


PLAIN = [name for name in ODD_NAMES if name and "\0" not in name and name.isprintable()]


def read(path: Path, contents: "str | bytes") -> "tuple[ReferenceNumbers, ...]":
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode("utf-8"))
    return read_reference(str(path)).rows


@given(tables(), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.permutations(COLUMNS))
def test_a_csv_comes_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory,
    rows: "list[ReferenceNumbers]",
    line_end: str,
    bom: bool,
    columns: "list[str]",
) -> None:
    text = io.StringIO(newline="")
    # Before Python 3.13 the writer leaves a lone \r without quotes, which no reader takes.
    quoting = csv.QUOTE_ALL if any("\r" in (row.name or "") for row in rows) else csv.QUOTE_MINIMAL
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)
    writer.writerow([*columns, "remark"])
    for row in rows:
        writer.writerow([*(getattr(row, column) for column in columns), "a, b"])
    contents = text.getvalue().encode("utf-8-sig" if bom else "utf-8")
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    assert read(path, contents) == tuple(rows)


@given(tables(), st.sampled_from(["rows", "layers", None]), st.booleans())
def test_a_json_comes_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory,
    rows: "list[ReferenceNumbers]",
    key: Optional[str],
    sparse: bool,
) -> None:
    items = [
        {
            column: getattr(row, column)
            for column in COLUMNS
            if column in ("alpha", "name", "M", "N")
            or not (sparse and getattr(row, column) is None)
        }
        for row in rows
    ]
    path = tmp_path_factory.mktemp("json") / "table.json"
    assert read(path, json.dumps(items if key is None else {key: items})) == tuple(rows)


@pytest.mark.parametrize("column", ["name", "layer", "parameter", "NAME", " Layer "])
def test_columns_of_a_name(tmp_path: Path, column: str) -> None:
    path = tmp_path / "table.csv"
    (row,) = read(path, f"{column},ALPHA\nx.y,2.5\n")
    assert row == ReferenceNumbers("x.y", alpha=2.5)
    (row,) = read(path, json.dumps([{column: "x.y", "Alpha": 2.5}]))
    assert row == ReferenceNumbers("x.y", alpha=2.5)


@pytest.mark.parametrize("cell", ["", "nan", "NaN", " - ", "None", "null", "n/a", "NA"])
def test_what_is_not_known(tmp_path: Path, cell: str) -> None:
    (row,) = read(tmp_path / "table.csv", f"name,M,alpha\nx,{cell},{cell}\n")
    assert row == ReferenceNumbers("x")


def test_whole_numbers_may_be_written_as_pandas_writes_them(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "table.csv", ",M,N,alpha\n0,17.0,4e2, 2.5\n\n")
    assert (row.M, row.N, row.alpha) == (17, 400, 2.5)
    assert type(row.M) is type(row.N) is int


def our_report() -> Any:
    return make_report(
        make_layer(heavy_tailed(60, 40), "one"),
        make_layer(heavy_tailed(30, 50), "two", kind="embedding"),
        make_layer(gaussian(7, 5), "three"),
    )


def test_what_this_tool_writes_can_be_a_reference(tmp_path: Path) -> None:
    report = our_report()
    write_json(report, tmp_path / "report.json")
    write_csv(report, tmp_path / "layers.csv")
    (tmp_path / "table.txt").write_text(table_2018(report) + "\n")
    everything = [
        ReferenceNumbers(
            layer.name,
            None,
            layer.M,
            layer.N,
            layer.power_law and layer.power_law.alpha,
            layer.power_law and layer.power_law.D,
            layer.min_singular_value,
        )
        for layer in report.layers
    ]
    linear = [everything[0], everything[2]]
    found = read_reference(str(tmp_path / "report.json"))
    assert list(found.rows) == linear and found.archive == "model.tar.gz"
    assert list(read_reference(str(tmp_path / "layers.csv")).rows) == everything
    printed = read_reference(str(tmp_path / "table.txt")).rows
    assert [(r.M, r.N, r.alpha, r.D, r.min_singular_value) for r in printed] == [
        (r.M, r.N, r.alpha, r.D, r.min_singular_value) for r in linear
    ]


@pytest.mark.parametrize("name", ["ner-2019", "absent.csv", "a/b.json", "nul\0", "NER-2018"])
def test_what_is_neither_a_table_nor_a_file(name: str) -> None:
    with pytest.raises(UsageError, match="ner-2018, parser-2018, srl-2018, coref-2018") as caught:
        read_reference(name)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_directory_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        read_reference(str(tmp_path))


CSV_FAULTS = [
    ("", "is empty"),
    (" \n\n", "is empty"),
    ("\n" + HEADER, "line 1: expected the column name, or M and N; got nothing"),
    (HEADER, "contains no rows"),
    ("a,b\n1,2\n", "line 1: expected the column name, or M and N; got a, b"),
    ("M,alpha\n1,2\n", "line 1: expected the column name, or M and N"),
    ("name,M,N\nx,1,2\n", "line 1: expected a column alpha, D or min_singular_value"),
    ("name,alpha,Alpha\nx,1,2\n", "line 1: has the column alpha twice"),
    ("name,layer,alpha\nx,y,2\n", "line 1: has the column name twice"),
    ("name;M;N;alpha\nx;1;2;2,5\n", "line 1: columns are separated by semicolons"),
    ("name\tM\tN\talpha\nx\t1\t2\t2.5\n", "line 1: columns are separated by tabs"),
    (HEADER + "x,2,3,2.5,0.1\n", "line 2: has 5 columns, but the header has 6"),
    (HEADER + "x,2,3,2,5,0.1,1.0\n", "line 2: has 7 columns, but the header has 6"),
    (HEADER + "x,2,3,two,0.1,1\n", "line 2, column alpha: 'two' is not a number"),
    (HEADER + "x,2,3,1_0,0.1,1\n", "line 2, column alpha: '1_0' is not a number"),
    (HEADER + "x,2,3,2,0.1,inf\n", "line 2, column min_singular_value: 'inf' is not finite"),
    (HEADER + "x,2,3,1e999,0.1,1\n", "line 2, column alpha: '1e999' is not finite"),
    (HEADER + "x,2,3,2,0.1,-1e-9\n", "column min_singular_value: '-1e-9' is negative"),
    (HEADER + "x,2,3,2,1.5,1\n", "column D: '1.5' is more than 1"),
    (HEADER + "\nx,2.5,3,2,0.1,1\n", "line 3, column M: '2.5' is not a whole number"),
    (HEADER + "x,0,3,2,0.1,1\n", "column M: '0' is not a whole number of at least 1"),
    (HEADER + "x,2,9e99,2,0.1,1\n", "column N: '9e99' is not a whole number"),
    (HEADER + f"x,2,{'9' * 5000},2,0.1,1\n", "column N: '999"),
    (HEADER + "x,4,3,2,0.1,1\n", "line 2, column M: 4 is more than N = 3"),
    (HEADER + ",4,,2,0.1,1\n", "line 2: has neither a name nor both M and N"),
    (HEADER + "x,2,3,2,.1,1\ny,2,3,2,.1,1\nx,2,3,2,.1,1\n", "line 4: 'x' is already in line 2"),
    (HEADER + 'x,2,3,2,0.1,"1', "line 2: is not valid CSV"),
    (HEADER + f"{'x' * 200_000},2,3,2,0.1,1\n", "line 2: is not valid CSV"),
    ("module_index,M,N,alpha\n-1,2,3,2.5\n", "column module_index: '-1' is not a whole number"),
    (HEADER + "x,2,3,2,0.1,1\n" * (MAX_ROWS + 1), f"more than {MAX_ROWS} rows"),
]


@pytest.mark.parametrize("contents, reason", CSV_FAULTS)
def test_a_csv_that_is_no_table_is_one_line(tmp_path: Path, contents: str, reason: str) -> None:
    refused(tmp_path / "table.csv", contents, reason)
    if contents.strip():
        refused(tmp_path / "table.csv", "\ufeff" + contents.replace("\n", "\r\n"), reason)


def refused(path: Path, contents: "str | bytes", reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(path, contents)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200


@pytest.mark.parametrize(
    "contents, reason",
    [
        (b"\x80\x04\x95 pickle", "is not text"),
        (HEADER.encode("utf-16"), "is not text"),
        (b"PK\x03\x04\0\0", "is not text"),
        (b"name,alpha\nx,\0\n", "is not text"),
        (b"x" * (MAX_BYTES + 1), "larger than 32 MiB"),
    ],
)
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, contents: bytes, reason: str) -> None:
    refused(tmp_path / "table.csv", contents, reason)
    refused(tmp_path / "table.json", contents, reason)


JSON_FAULTS = [
    ("{", "is not valid JSON"),
    ("[" * 100_000, "is not valid JSON"),
    ("7", "contains no rows"),
    ("{}", "contains no rows"),
    ('{"rows": 7}', "contains no rows"),
    ("[]", "contains no rows"),
    ("[7]", "row 1: is not an object"),
    ('[{"name": "x"}]', "row 1: expected a column alpha, D or min_singular_value; got name"),
    ('[{"M": 1, "alpha": 2}]', "row 1: expected the column name, or M and N; got m, alpha"),
    ('[{"name": "x", "layer": "y", "alpha": 1}]', "row 1: has the key name twice"),
    ('[{"name": 7, "alpha": 2}]', "row 1, key name: 7.0 is not a name"),
    ('[{"name": "x", "alpha": true}]', "row 1, key alpha: True is not a number"),
    ('[{"name": "x", "alpha": [2]}]', "row 1, key alpha: [2.0] is not a number"),
    ('[{"name": "x", "alpha": Infinity}]', "row 1, key alpha: inf is not finite"),
    (f'[{{"name": "x", "alpha": {"9" * 5000}}}]', "row 1, key alpha: inf is not finite"),
    ('[{"name": "x", "alpha": 1}, {"name": "x", "alpha": 1}]', "row 2: 'x' is already in row 1"),
    ('{"schema_version": 1, "layers": 7}', "is a damaged report"),
    ('{"schema_version": 1, "layers": [7]}', "is a damaged report"),
    ('{"schema_version": 1, "layers": []}', "is a report without linear layers"),
    ('{"schema_version": 1, "layers": [{"kind": "linear"}]}', "row 1: expected the column name"),
]


@pytest.mark.parametrize("contents, reason", JSON_FAULTS)
def test_a_json_that_is_no_table_is_one_line(tmp_path: Path, contents: str, reason: str) -> None:
    refused(tmp_path / "table.json", contents, reason)
    refused(tmp_path / "TABLE.JSON", contents, reason)


def test_nan_in_json_is_not_known(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "t.json", '[{"name": "x", "alpha": NaN, "D": null}]')
    assert row == ReferenceNumbers("x")


@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_the_file_it_is_a_table_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, contents: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "table"
    for head in (b"", HEADER.encode(), b'[{"name": "x", "alpha": '):
        # Any other error fails the test.
        with contextlib.suppress(SourceError):
            assert read(path, head + contents)
