"""WeightWatcher's data frame of the weights in an .npz file, as JSON on standard output.

    python run_weightwatcher.py WEIGHTS.npz

A process of its own: importing WeightWatcher installs a handler of logs and switches warnings off.
"""

import json
import os
import sys

import numpy as np


def main(path: str) -> None:
    # It prints on standard output, at import too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch
    import weightwatcher

    layers = torch.nn.ModuleDict()
    with np.load(path) as weights:
        for name in weights.files:
            rows, columns = weights[name].shape
            layers[name] = torch.nn.Linear(columns, rows, bias=False)
            layers[name].weight.data = torch.from_numpy(weights[name])
    watcher = weightwatcher.WeightWatcher(model=layers)
    details = watcher.analyze(mp_fit=True, plot=False)
    rows = json.loads(details.to_json(orient="records", double_precision=15))
    version = weightwatcher.__version__
    print(json.dumps({"version": version, "rows": rows}), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
