"""The tests: what holds before any of them is imported.

What an assertion in tests/support compared is shown as that of a test is. Of several processes
(pytest -n) each has one thread: threads of torch and OpenBLAS that wait for a core keep it busy.
"""

import os

import pytest

pytest.register_assert_rewrite("tests.support")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
