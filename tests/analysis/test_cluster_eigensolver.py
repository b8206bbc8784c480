"""The workers of a cluster compute eigenvalues with the library of the leader, or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import allennlp_analyze
from allennlp_analyze.engine.running import EngineUnusable
from allennlp_analyze.linalg.eigensolvers import EIGENSOLVERS, MKL, NUMPY, usual
from allennlp_analyze.linalg.tridiagonal import TWO_STAGES_FROM
from tests.support.commands import ROOT
from tests.support.dask_clusters import dask_processes, kill

pytestmark = pytest.mark.newest_python
pytest.importorskip("distributed", reason="the extra `dask` is not installed")


def test_the_workers_use_the_eigensolver_of_the_leader(tmp_path: Path) -> None:
    if usual() == NUMPY:
        pytest.skip("numpy is not built with OpenBLAS")
    path = tmp_path / "m.safetensors"
    values = np.random.default_rng(0).standard_normal((TWO_STAGES_FROM + 9, TWO_STAGES_FROM))
    save_file({"a.weight": values.astype("f4")}, path)
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None")
    with dask_processes(tmp_path / "dask") as processes:
        lacking = processes.worker(PYTHONPATH=os.pathsep.join((str(tmp_path), str(ROOT))))
        there = allennlp_analyze.analyze(path, eigensolver=NUMPY, dask=processes.address)
        if EIGENSOLVERS[MKL].find():
            words = "the worker on .* cannot compute eigenvalues with mkl: it comes with torch"
            with pytest.raises(EngineUnusable, match=words):
                allennlp_analyze.analyze(path, eigensolver=MKL, dask=processes.address)
        kill(lacking)
    here, plain = (allennlp_analyze.analyze(path, eigensolver=x) for x in (NUMPY, usual()))
    assert there.settings["eigensolver"] == NUMPY and not there.warnings
    found = [report.layers[0].singular_values for report in (there, here, plain)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[1], found[2])
    np.testing.assert_allclose(found[1], found[2], rtol=0, atol=1e-9 * found[2][0])
