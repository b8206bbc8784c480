"""What the callbacks of Hugging Face's Trainer and of Lightning have in common."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.trainers import hugging_face_callback, lightning_callback
from tests.support.commands import ROOT
from tests.support.torch_trainings import network

BOTH = [(hugging_face_callback, "transformers"), (lightning_callback, "lightning.pytorch")]


@pytest.mark.parametrize("make, package", BOTH)
def test_choices_that_make_no_sense(make: Any, package: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(package)
    with pytest.raises(UsageError, match=r"^every: 0 is not a number >= 1$"):
        make(every=0)
    with pytest.raises(UsageError, match="^layers, stop: pass this to the RankMonitor"):
        make(RankMonitor(network()), layers="0", stop=True)
    with pytest.raises(UsageError, match="^max_second: .* did you mean max_seconds"):
        make(max_second=2)
    with pytest.raises(UsageError, match="^max_seconds: -1"):
        make(max_seconds=-1)
    with pytest.raises(UsageError, match="^layers: "):
        make(layers="(")
    with pytest.raises(UsageError, match="^monitor: a Sequential is not a RankMonitor"):
        make(network())


@pytest.mark.parametrize("make, package", BOTH)
def test_a_callback_can_be_sent_to_other_processes(make: Any, package: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(package)
    sent = pickle.loads(pickle.dumps(make(every=7, layers="net", stop=True)))
    assert type(sent) is type(make()) and sent.every == 7
    given = pickle.loads(pickle.dumps(make(RankMonitor(network()))))
    assert [x.layer for x in given.monitor.step().readings] == ["0", "2"]


@pytest.mark.parametrize("make, package", BOTH)
def test_a_package_that_is_missing_is_one_clear_line(
    make: Any, package: str, tmp_path: Path
) -> None:
    """In an interpreter that finds neither."""
    root = package.partition(".")[0]
    code = (
        "import sys, importlib.abc\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] in ('transformers', 'lightning', 'pytorch_lightning'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from allennlp_analyze.errors import UsageError\n"
        f"from allennlp_analyze.monitor.trainers import {make.__name__} as make\n"
        "try:\n"
        "    make()\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    wanted = {"lightning": "'allennlp_analyze[lightning]'"}.get(root, root)
    expected = f"{make.__name__}: {root} is not installed; pip install {wanted}\n"
    assert (done.stdout, done.stderr) == (expected, "")
