"""What the real libraries write and is not read is named."""

from pathlib import Path

import pytest

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.opening import open_source

pytestmark = pytest.mark.newest_python

torch = pytest.importorskip("torch")


def test_a_distributed_checkpoint_of_torch(tmp_path: Path) -> None:
    dcp = pytest.importorskip("torch.distributed.checkpoint", reason="torch has none here")
    dcp.save({"w": torch.ones(8, 4)}, checkpoint_id=str(tmp_path / "dcp"))
    with open_source(str(tmp_path / "dcp")) as source:
        assert [tensor.shape for tensor in source.tensors.values()] == [(8, 4)]
    (tmp_path / "dcp" / ".metadata").unlink()
    with pytest.raises(SourceError, match="part of a distributed checkpoint of torch"):
        with open_source(str(tmp_path / "dcp")):
            pass
