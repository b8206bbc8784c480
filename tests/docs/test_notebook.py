"""examples/first_report.ipynb: its cells run in order, and give the outputs that it shows."""

import ast
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
NOTEBOOK = ROOT / "examples" / "first_report.ipynb"
CONTENTS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
CELLS = [cell for cell in CONTENTS["cells"] if cell["cell_type"] == "code"]


def test_it_is_small_and_was_run_from_top_to_bottom() -> None:
    assert (CONTENTS["nbformat"], CONTENTS["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert NOTEBOOK.stat().st_size < 200_000 and "/root" not in NOTEBOOK.read_text("utf-8")
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))


def test_cells_run_in_order_and_give_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kernel does: in its directory, the value of a last expression is the output."""
    pandas = pytest.importorskip("pandas")
    from matplotlib.figure import Figure

    monkeypatch.chdir(NOTEBOOK.parent)
    before = set(Path().iterdir())
    names: dict[str, Any] = {}
    values = []
    for cell in CELLS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            values.append(value("".join(cell["source"]), names))
        streams = [x["text"] for x in cell["outputs"] if x["output_type"] == "stream"]
        assert printed.getvalue() == "".join("".join(text) for text in streams)
        results = [x for x in cell["outputs"] if x["output_type"] == "execute_result"]
        assert (values[-1] is None) == (not results)
        if isinstance(values[-1], pandas.DataFrame):
            [shown] = ["".join(x["data"]["text/html"]) for x in results]
            numbers = [float(x) for x in re.findall(r"<td>([-\d.]+|NaN)</td>", shown)]
            found = list(values[-1].select_dtypes("number").to_numpy().flat)
            assert numbers == pytest.approx(found, abs=1e-6, nan_ok=True)  # it shows six decimals
    assert {type(x) for x in values} == {type(None), Figure, pandas.DataFrame}
    assert set(Path().iterdir()) == before


def value(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last statement if that is an expression, else None."""
    cell = ast.parse(source)
    last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
    exec(compile(cell, NOTEBOOK.name, "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)
