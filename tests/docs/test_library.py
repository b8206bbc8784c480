"""docs/how-to/library.md: every snippet runs and says what the command says."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "how-to" / "library.md").read_text(encoding="utf-8")
_SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPETS = _SNIPPET.findall(PAGE)


def test_every_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "pandas", "matplotlib"):
        pytest.importorskip(package)
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = io.StringIO()
    assert len(SNIPPETS) == 3
    with contextlib.redirect_stdout(printed):
        for snippet in SNIPPETS:
            exec(compile(snippet, "library.md", "exec"), names)
    lines = printed.getvalue().splitlines()
    # Both are in what the commands of the README print.
    assert lines[0] in " ".join(README.split())
    kind, n, m, alpha, smallest, verdict = lines[1].split()
    numbers = rf"{float(smallest):.3g} +0 +{float(alpha):.2f} "
    assert re.search(rf"{kind} +{n} x {m} +\S+ +{numbers}.* {verdict}", README)
    assert verdict == "full_rank"
    assert Path("alpha.pdf").read_bytes().startswith(b"%PDF")
    assert Path("spectrum.png").read_bytes().startswith(b"\x89PNG")
    assert sum(line.endswith("full_rank") for line in lines[2:]) == 3  # of the data frame


def test_the_readme_has_the_first_of_them() -> None:
    assert _SNIPPET.findall(README) == SNIPPETS[:1]


def test_everything_named_there_exists() -> None:
    from allennlp_analyze import Layer, Report

    named = set(re.findall(r"`?\breport\.(\w+)", PAGE)) - {"json"}
    fields = {*dir(Report), *Report.__dataclass_fields__}
    assert named >= {"layers", "layer", "to_dict", "to_dataframe", "plot", "write"}
    assert named <= fields
    of_layer = set(re.findall(r"\blayer\.(\w+)", PAGE))
    assert of_layer and of_layer <= {*dir(Layer), *Layer.__dataclass_fields__}
