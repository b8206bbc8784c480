"""Train a small classifier with a weight decay and save it: of too much, its rank collapses.

python weight_decay.py WEIGHT_DECAY FILE
"""

import sys

import torch
from torch import nn

decay, file = float(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
torch.set_num_threads(1)  # the network is small
model = nn.Sequential(
    nn.Linear(64, 192), nn.ReLU(), nn.Linear(192, 96), nn.ReLU(), nn.Linear(96, 10)
)
centres = torch.randn(10, 64)  # of ten classes
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)

for _ in range(800):
    labels = torch.randint(10, (32,))
    inputs = centres[labels] + torch.randn(32, 64)
    loss = nn.functional.cross_entropy(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

labels = torch.arange(10).repeat(100)
right = model(centres[labels] + torch.randn(1000, 64)).argmax(1) == labels
print(f"{file}: {right.float().mean():.1%} of 1000 right")
torch.save(model.state_dict(), file)
