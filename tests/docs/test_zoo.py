"""docs/how-to/zoo.md: its snippet runs, and the manifests that it names are shipped."""

import os
import re
import subprocess
import sys

import pytest

from allennlp_analyze.zoo.manifest.reading import SHIPPED, read_manifest
from tests.support.commands import ONE_THREAD, ROOT

pytestmark = pytest.mark.newest_python
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "how-to" / "zoo.md").read_text(encoding="utf-8")


def test_the_snippet_runs_as_a_script(tmp_path):
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "script.py").write_text(snippet)
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    smallest = f"{float(done.stdout):.3g}"
    assert f"smallest singular value of the 16 linear layers with Q > 1.1: {smallest}." in (
        " ".join(README.split())
    )  # as the single command says


def test_every_shipped_manifest_is_named():
    for name in SHIPPED:
        assert f"`{name}`" in PAGE
    count = len(read_manifest("allennlp-public").entries)
    assert f"(the {count} of AllenNLP's model cards)" in PAGE
