"""Targets for the command line: a healthy one, and some that end their process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

import torch
from torch import nn


class Patient(nn.Module):
    def __init__(self, does: str) -> None:
        super().__init__()
        self.does = does
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.does == "segfault":
            ctypes.string_at(0)  # line of segfault
        elif self.does == "leave":
            os._exit(3)  # line of leave
        elif self.does == "shoot":
            os.kill(os.getpid(), signal.SIGKILL)  # line of shoot
        elif self.does == "loop":
            while True:
                time.sleep(0.01)  # line of loop
        elif self.does == "flood":
            print("\0\x1b[31m rubbish" * 1000)
        elif self.does == "ask":
            input("name? ")  # line of ask
        return self.layer(x)


def setup(does: str = "nothing", factory_does: str = "nothing"):
    """Return a classifier of two classes that a line divides."""
    if factory_does == "segfault":
        ctypes.string_at(0)  # line of factory segfault
    elif factory_does == "loop":
        while True:
            time.sleep(0.01)  # line of factory loop
    elif factory_does == "leave":
        sys.exit(0)
    torch.manual_seed(0)
    model = Patient(does)
    x = torch.randn(64, 4)
    y = (x.sum(1) > 0).long()
    dataset = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    return model, loader, optimizer, nn.CrossEntropyLoss()
