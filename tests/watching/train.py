"""A script that looks at how it is run, trains with noise and workers, and ends as it is told."""

import argparse
import hashlib
import os
import pickle
import sys
import traceback
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Points(Dataset):
    def __init__(self, num_samples=192):
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(num_samples, 10, generator=generator)
        self.y = (self.x.sum(1) > 0).long()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index] + 0.1 * torch.randn(10), self.y[index]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(32, 2)

    def forward(self, x):  # (batch, 10) -> (batch, 2)
        return self.head(self.drop(self.stem(x)))


def end(how, net):
    if how == "exit":
        sys.exit(3)
    if how == "raise":
        try:
            {}["key"]
        except KeyError as error:
            raise ValueError("outer") from error
    if how == "forward":
        net(torch.randn(4, 11))
    if how == "caught":
        try:
            net(torch.randn(4, 11))
        except RuntimeError:
            traceback.print_exc()
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "leave":
        os._exit(7)
    if how == "interrupt":
        raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--context")
    parser.add_argument("--end", default="")
    arguments = parser.parse_args()
    main_module = sys.modules["__main__"]
    print(sys.argv, __name__, __file__, os.getcwd(), sys.path[0])
    print(main_module.Net is Net, sorted(vars(main_module)), type(main_module.__spec__).__name__)
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\xff\x00 not text\n")
    sys.stdout.flush()
    warnings.warn("a warning of mine", stacklevel=1)
    torch.manual_seed(0)
    loader = DataLoader(
        Points(),
        batch_size=16,
        shuffle=True,
        num_workers=arguments.workers,
        multiprocessing_context=arguments.context,
    )
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(2):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            print(repr(loss.item()))
        pickle.loads(pickle.dumps(net))
    bits = b"".join(tensor.numpy().tobytes() for tensor in net.state_dict().values())
    print(hashlib.sha256(bits).hexdigest(), torch.rand(1).item())
    end(arguments.end, net)


if __name__ == "__main__":
    main()
