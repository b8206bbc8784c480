"""The data frame is layers.csv as pandas reads it, with the types that belong there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze import Report, analyze
from allennlp_analyze.errors import UsageError
from tests.support.commands import ROOT, SMALL
from tests.support.report_factory import ODD_NAMES, make_report, odd_report

pandas = pytest.importorskip("pandas")
# Layers with and without a power law, of three kinds.
SOME = "^crf|^tag|conv_[036]$|_l0$"


@pytest.fixture(scope="module")
def full() -> Report:
    return analyze(SMALL)


@pytest.mark.newest_python
def test_values_are_those_of_the_csv(tmp_path: Path) -> None:
    report = analyze(SMALL, layers=SOME, compare_distributions=True)
    report.write(tmp_path, plots=False)
    frame = report.to_dataframe()
    # Before version 3 pandas rounds the last digit unless told not to.
    exact = {"float_precision": "round_trip"} if pandas.__version__ < "3" else {}
    read = pandas.read_csv(tmp_path / "layers.csv", **exact)
    assert list(frame.columns) == list(read.columns)
    assert any(column.startswith("comparison_") for column in frame.columns)
    for column in frame.columns:
        ours, theirs = frame[column].replace("", None), read[column]
        assert list(ours.isna()) == list(theirs.isna()), column
        there = ~theirs.isna()
        assert list(ours[there]) == list(theirs[there]), column


def test_types_are_the_same_for_every_model(full: Report) -> None:
    frame = full.to_dataframe()
    odd = Report.of(odd_report()).to_dataframe()
    none = Report.of(make_report()).to_dataframe()
    assert list(frame.dtypes) == list(odd.dtypes) == list(none.dtypes)
    assert len(none) == 0
    for column in frame.columns:
        whole = pandas.api.types.is_integer_dtype(frame[column])
        values = [x for table in (frame, odd) for x in table[column] if not pandas.isna(x)]
        if frame[column].dtype == object:
            assert all(isinstance(x, str) for x in values), column
        else:
            assert whole == all(float(x).is_integer() for x in values) or not whole, column
            assert whole == isinstance(values[0], (int, np.integer)) if values else True, column
    for column in ("M", "N", "rows", "hard_rank_numpy"):
        assert frame[column].dtype == np.int64
    for column in ("module_index", "n_tail", "mp_n_spikes"):
        assert frame[column].dtype == "Int64"
    for column in ("alpha", "Q", "min_singular_value", "tolerance_rounding"):
        assert frame[column].dtype == np.float64


def test_columns_of_weightwatcher_have_the_same_types_for_every_model(full: Report) -> None:
    frame = full.to_dataframe(names="weightwatcher")
    odd = Report.of(odd_report()).to_dataframe(names="weightwatcher")
    none = Report.of(make_report()).to_dataframe(names="weightwatcher")
    assert list(frame.dtypes) == list(odd.dtypes) == list(none.dtypes)
    assert (len(frame), len(none)) == (36, 0) and list(none.columns) == list(frame.columns)
    assert frame["num_pl_spikes"].dtype == "Int64" and frame["alpha"].dtype == np.float64


def test_other_names_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        analyze({"a.weight": np.eye(3)}).to_dataframe(names="ww")
    said = "names: 'ww' is no set of column names; choose from weightwatcher"
    assert str(caught.value) == said


def test_names_are_as_they_are() -> None:
    frame = Report.of(odd_report()).to_dataframe()
    assert list(frame["name"])[: len(ODD_NAMES)] == list(ODD_NAMES)


def test_a_frame_finds_the_weakest(full: Report) -> None:
    weakest = full.to_dataframe().query("kind == 'linear'").nsmallest(1, "min_singular_value")
    assert weakest["name"].item() == full.summary.min_singular_value_layer


def test_without_pandas_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from allennlp_analyze import analyze; import numpy as np\n"
        "try: analyze({'a.weight': np.eye(3)}).to_dataframe()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "pandas is not installed: pip install 'allennlp_analyze[pandas]'\n"
