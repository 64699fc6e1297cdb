"""Fit noisy waves with L-BFGS; the optimizer calls the closure as often as it likes."""

import numpy as np
import torch
from torch import nn


class Recurrent(nn.Module):
    """Predicts the next value of a wave from all values before it."""

    def __init__(self, hidden=32):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.GRUCell(1, hidden)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden, dtype=x.dtype)
        outputs = []
        for value in x.split(1, dim=1):
            h = self.cell(value, h)
            outputs.append(self.readout(h))
        return torch.cat(outputs, dim=1)


if __name__ == "__main__":
    np.random.seed(0)
    torch.manual_seed(0)
    shift = np.random.randint(-40, 40, (24, 1))
    data = np.sin((np.arange(40) + shift) / 4.0)
    data = torch.from_numpy(data + 0.02 * np.random.randn(*data.shape))
    inputs, target = data[:20, :-1], data[:20, 1:]
    test_inputs, test_target = data[20:, :-1], data[20:, 1:]

    seq = Recurrent().double()
    criterion = nn.MSELoss()
    optimizer = torch.optim.LBFGS(seq.parameters(), lr=0.5, max_iter=4, history_size=10)

    for i in range(32):

        def closure():
            optimizer.zero_grad()
            loss = criterion(seq(inputs), target)
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        if i % 4 == 0:
            with torch.no_grad():
                test_loss = criterion(seq(test_inputs), test_target)
            print(f"STEP {i:2d} loss {loss.item():.6f} test loss {test_loss.item():.6f}")
