"""The Gram matrix: what BLAS adds up is what numpy does, for every number of columns."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.newest_python


def test_many_columns_do_not_overrun_the_buffers_of_openblas() -> None:
    """In a process of its own: it would crash. Checked against some of numpy's own products."""
    code = (
        "import numpy as np; from allennlp_analyze.linalg.gram import add_gram;"
        "rows = np.random.default_rng(0).standard_normal((768, 16000));"
        "gram = np.zeros((16000, 16000)); add_gram(gram, rows);"
        "at = np.arange(0, 16000, 1999);"
        "assert np.allclose(np.triu(gram[np.ix_(at, at)]), np.triu(rows[:, at].T @ rows[:, at]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
