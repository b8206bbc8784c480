"""Fixtures of the command line."""

from pathlib import Path
from typing import Callable

import pytest
import torch

from allennlp_analyze.cli.main import main
from tests.support.changed_archives import (
    LINEAR,
    State,
    flattened,
    renamed,
    rewritten,
    scrambled,
    with_nan,
    wrapped,
)
from tests.support.commands import SMALL


@pytest.fixture(scope="session")
def small_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes of the fixture, without figures; not to be changed."""
    out = tmp_path_factory.mktemp("small") / "out"
    assert main([str(SMALL), "--output-dir", str(out), "--no-plots", "--quiet"]) == 0
    return out


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Path]":
    """The fixture, changed in different ways."""
    folder = tmp_path_factory.mktemp("variants")
    noise = torch.Generator().manual_seed(0)

    def tuned(state: State) -> State:
        return {
            name: value + 0.01 * value.std() * torch.randn(value.shape, generator=noise)
            if value.dim() > 1 and "mask" not in name
            else value
            for name, value in state.items()
        }

    changes: dict[str, Callable[[State], State]] = {
        "tuned": tuned,
        "collapsed": flattened(LINEAR, 10),
        "worse": flattened(LINEAR, 8),
        "nan": with_nan,
        "renamed": renamed,
        "scrambled": scrambled,
        "wrapped": wrapped,
        "larger": lambda state: {**state, "extra.weight": torch.randn(9, 5, generator=noise)},
        "smaller": lambda state: {k: v for k, v in state.items() if k != LINEAR},
        "resized": lambda state: {**state, LINEAR: state[LINEAR][:, :40]},
        "hostile": lambda state: {**state, "\x1b[31m[red]\nx\u202e.weight": state[LINEAR] * 2},
    }
    return {
        "same": SMALL,
        **{n: rewritten(SMALL, folder / f"{n}.tar.gz", c) for n, c in changes.items()},
    }
