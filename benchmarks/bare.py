"""What `gradflow` is compared with: the same forward and backward passes and nothing else."""

from __future__ import annotations

import sys

import models

factory, number = sys.argv[1], int(sys.argv[2])
setup = getattr(models, factory)()
model = setup["model"].train()
for _, batch in zip(range(number), setup["loader"], strict=False):
    model(**batch).loss.backward()
    model.zero_grad()
