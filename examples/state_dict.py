"""Print the power law of every matrix of a checkpoint loaded by torch.

python state_dict.py CHECKPOINT
"""

import sys

import torch

from allennlp_analyze import analyze

checkpoint = torch.load(sys.argv[1], map_location="cpu")  # only for trusted files: this is a pickle
# {"state_dict": ...} and the like are opened; so is a dict of numpy arrays.
report = analyze(checkpoint)
for layer in report.layers:
    fit = layer.power_law
    if fit is None:
        print(f"{layer.name}: no power law ({layer.power_law_note})")
    else:
        print(f"{layer.name}: alpha {fit.alpha:.3f} +- {fit.sigma:.3f}, D {fit.D:.3f}")
for tensor in report.skipped:
    print(f"{tensor.parameter}: left out, {tensor.reason}")
