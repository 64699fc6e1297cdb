"""What a large model is compared with: `plain_step.py PARAMETERS TENSORS STEPS`."""

from __future__ import annotations

import sys

import sized

parameters, tensors, steps = sys.argv[1:]
setup = sized.setup(parameters, tensors)
model, optimizer = setup["model"].train(), setup["optimizer"]
for _, (tokens, targets) in zip(range(int(steps)), setup["loader"], strict=False):
    optimizer.zero_grad()
    sized.loss_fn(model(tokens), targets).backward()
    optimizer.step()
