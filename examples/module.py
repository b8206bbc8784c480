"""Analyze a model in memory: its modules decide the kind of each matrix.

python module.py
"""

import torch
from torch import nn

from allennlp_analyze import analyze


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(500, 64)
        self.encoder = nn.LSTM(64, 64, bidirectional=True)
        self.projection = nn.Linear(128, 64)
        self.decoder = nn.Linear(64, 500, bias=False)
        self.decoder.weight = self.embedding.weight  # tied: analyzed once


torch.manual_seed(0)
model = Tagger().half()  # any floating type, on any device; the model is not changed
report = analyze(model)
for layer in report.layers:
    print(f"{layer.name}: {layer.module_class}, {layer.N} x {layer.M}, {layer.verdict}")
print(report.layer("embedding").warnings[0])
