"""A plain training loop that times its own steps: `python loop.py SIZE HOW [STEPS]`.

Prints the median, the 95th percentile and the mean of a step in milliseconds, the first steps left
out.
HOW is `bare`, `anomaly` (autograd's own detection), `hooks` (a hook on each parameter that reads
the gradient's norm and whether it is finite, as such hooks are usually written), or `torchlens`
(all training checks of TorchLens but that for frozen parameters).
"""

import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SIZES = {  # width, layers, batch size, steps, steps before them that are not counted
    "toy": (32, 2, 32, 3000, 60),
    "2 ms": (160, 6, 32, 1000, 60),
    "10 ms": (384, 10, 64, 400, 60),
    "50 ms": (640, 12, 128, 150, 60),
    "1 s": (2048, 10, 256, 20, 6),
}


def watch_each(parameter):
    def hook(gradient):
        stats[id(parameter)] = (gradient.norm().item(), bool(torch.isfinite(gradient).all()))

    parameter.register_hook(hook)


stats = {}
size, how, *given = sys.argv[1:]
width, num_layers, batch_size, num_steps, num_first = SIZES[size]
if given:
    num_steps, num_first = int(given[0]), 0
torch.manual_seed(0)
layers = [layer for _ in range(num_layers) for layer in (nn.Linear(width, width), nn.Tanh())]
net = nn.Sequential(*layers, nn.Linear(width, 2))
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
data = TensorDataset(torch.randn(batch_size * 50, width), torch.randint(0, 2, (batch_size * 50,)))
loader = DataLoader(data, batch_size=batch_size, shuffle=True)
if how == "anomaly":
    torch.autograd.set_detect_anomaly(True)
if how == "hooks":
    for parameter in net.parameters():
        watch_each(parameter)
if how == "torchlens":
    from torchlens.checks import ChecksSession

    session = ChecksSession(net, optimizer, scaler=None)
    session.register_change_check()
    session.register_update_ratio_check()
    session.register_nonfinite_gradient_check()
    session.register_nonfinite_param_check()
    session.register_magnitude_check()
    session.attach()
times, last = [], time.perf_counter()
while len(times) < num_steps + num_first:
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        now = time.perf_counter()
        times.append(now - last)
        last = now
times = sorted(times[num_first:])
mean = sum(times) / len(times)
print(*(1e3 * seconds for seconds in (times[len(times) // 2], times[int(0.95 * len(times))], mean)))
