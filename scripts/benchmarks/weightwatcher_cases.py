"""Give the same small models to this package and to WeightWatcher, and print what each one answers.

    python -m scripts.benchmarks.weightwatcher_cases ours|weightwatcher

For weightwatcher, python is one that has it; this package need not be there.
docs/explanation/weightwatcher.md quotes both. Every case is a line: its name, and the answer.
"""

import argparse
import contextlib
import io
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import torch
from torch import nn

Rows = list[dict[str, Any]]


def linear(weight: torch.Tensor) -> nn.Linear:
    """A linear layer without bias that has this weight."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False).to(weight.dtype)
    layer.weight.data = weight
    return layer


def noise(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def damaged() -> nn.Module:
    """Two layers, one of them with a NaN."""
    weight = noise(64, 64)
    weight[0, 0] = float("nan")
    return nn.Sequential(linear(noise(64, 64)), linear(weight))


def tied() -> nn.Module:
    """Two layers with one weight."""
    model = nn.Sequential(linear(noise(64, 64)), nn.ReLU(), linear(noise(64, 64)))
    model[2].weight = model[0].weight
    return model


def recurrent() -> nn.Module:
    return nn.Sequential(nn.LSTM(64, 64), nn.Linear(64, 64))


def saved(name: str) -> str:
    """A file with the state dict of one layer."""
    path = Path(tempfile.mkdtemp()) / name
    state = {"a.weight": noise(64, 64)}
    if name.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


def low_rank() -> torch.Tensor:
    return noise(256, 10) @ noise(10, 128)


def of_first(column: str) -> Callable[[Rows], str]:
    """The answer of the first row in a column."""

    def answer(rows: Rows) -> str:
        value = rows[0][column]
        return "none" if value is None else f"{value:.4g}"

    return answer


def how_many(rows: Rows) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


# A name, what is analyzed, and what of the rows is the answer.
CASES: "list[tuple[str, Callable[[], Any], Callable[[Rows], str]]]" = [
    ("256 x 128 of rank 10, float32: lost", lambda: linear(low_rank()), of_first("rank_loss")),
    ("the same in float16: lost", lambda: linear(low_rank().half()), of_first("rank_loss")),
    ("rank 1: entropy", lambda: linear(torch.ones(64, 32)), of_first("entropy")),
    ("256 x 128: alpha", lambda: linear(noise(256, 128)), of_first("alpha")),
    ("the same times 1e-5: alpha", lambda: linear(noise(256, 128) * 1e-5), of_first("alpha")),
    ("all zeros: alpha", lambda: linear(torch.zeros(128, 64)), of_first("alpha")),
    ("LSTM(64, 64), Linear(64, 64)", recurrent, how_many),
    ("MultiheadAttention(64, 4)", lambda: nn.MultiheadAttention(64, 4), how_many),
    ("Conv3d(32, 64, 3)", lambda: nn.Sequential(nn.Conv3d(32, 64, 3)), how_many),
    ("one weight in two layers", tied, how_many),
    ("two layers, one with NaN", damaged, how_many),
    ("file of torch.save(state_dict)", lambda: saved("a.pt"), how_many),
    ("file of safetensors", lambda: saved("a.safetensors"), how_many),
]


def ours(model: Any) -> Rows:
    """What this package measures, in the columns that the cases ask for."""
    from allennlp_analyze import analyze

    return [
        {
            "rank_loss": layer.M - layer.hard_rank.rounding,
            "entropy": layer.entropy,
            "alpha": layer.power_law.alpha if layer.power_law else None,
        }
        for layer in analyze(model).layers
    ]


def weightwatcher(model: Any) -> Rows:
    """The rows of WeightWatcher's data frame of details."""
    import weightwatcher as peer

    logging.disable()
    frame = peer.WeightWatcher(model=model).analyze()
    return list(frame.to_dict("records"))


def main(argv: Optional[list[str]] = None) -> int:
    """Print the answers of one tool; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.weightwatcher_cases",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("tool", choices=("ours", "weightwatcher"))
    tool = {"ours": ours, "weightwatcher": weightwatcher}[parser.parse_args(argv).tool]
    for name, make, answer in CASES:
        torch.manual_seed(0)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                said = answer(tool(make()))
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        print(f"{name:<36} {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
