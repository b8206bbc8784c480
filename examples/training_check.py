"""Stop a training that is losing rank; the exit code is for a CI job.

python training_check.py WEIGHT_DECAY
"""

import sys

import torch
from torch import nn

from allennlp_analyze import analyze

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(40, 24), nn.Linear(24, 40))
inputs = torch.randn(256, 40)
targets = inputs[:, :4] @ torch.randn(4, 40)  # of rank 4: the other directions are not needed
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=float(sys.argv[1]))

for epoch in range(1, 11):
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    summary = analyze(model, kinds="linear").summary
    if summary.verdict in ("collapsed", "near_collapse", "invalid"):
        sys.exit(f"epoch {epoch}: {summary.sentence}")
print(f"epoch {epoch}: {summary.sentence}")
