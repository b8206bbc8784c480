"""The Gram matrix: what BLAS adds up is what numpy does, for every number of columns."""

import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info

from allennlp_analyze.linalg.gram import MAX_SYRK, MOST_PACKED

pytestmark = pytest.mark.newest_python


def test_many_columns_do_not_overrun_the_buffers_of_openblas() -> None:
    """In a process of its own: it would crash. Checked against some of numpy's own products.

    Only the kernels of SkylakeX are known to crash, from 16,000 columns on; with others the limit
    is lowered, so that the product is made in parts all the same.
    """
    crashes = any(x.get("architecture") == "SkylakeX" for x in threadpool_info())
    columns, limit = (16_000, MAX_SYRK) if crashes else (600, 1 << 16)
    assert MOST_PACKED * columns > limit
    code = (
        "import sys; import numpy as np; from allennlp_analyze.linalg import gram as ours;"
        "columns, ours.MAX_SYRK = map(int, sys.argv[1:]);"
        "rows = np.random.default_rng(0).standard_normal((768, columns));"
        "gram = np.zeros((columns, columns)); ours.add_gram(gram, rows);"
        "at = np.arange(0, columns, columns // 8 - 1);"
        "assert np.allclose(np.triu(gram[np.ix_(at, at)]), np.triu(rows[:, at].T @ rows[:, at]))"
    )
    subprocess.run([sys.executable, "-c", code, str(columns), str(limit)], check=True)
