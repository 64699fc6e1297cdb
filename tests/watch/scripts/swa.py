"""Stochastic weight averaging over the last epochs, batch-norm statistics updated at the end."""

import torch
import torch.nn as nn
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import DataLoader, TensorDataset


def make_dataset(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=g)
    score = x[:, 0] * x[:, 1] + x[:, 2].abs() - x[:, 3] + 0.3 * torch.randn(n, generator=g)
    return TensorDataset(x, (score > 0.8).float())


class Net(nn.Module):
    def __init__(self, hidden=160):
        super().__init__()
        self.fc1 = nn.Linear(10, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.fc3 = nn.Linear(hidden, 1)

    def forward(self, x):
        x = torch.relu(self.bn1(self.fc1(x)))
        x = torch.relu(self.bn2(self.fc2(x)))
        return self.fc3(x).squeeze(1)


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    hits = sum(((model(x) > 0) == (y > 0.5)).sum().item() for x, y in loader)
    return hits / len(loader.dataset)


torch.manual_seed(0)
loader = DataLoader(make_dataset(2048, 0), batch_size=64, shuffle=True)
test_loader = DataLoader(make_dataset(1000, 1), batch_size=250)
model = Net()
loss_fn = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
swa_model = AveragedModel(model)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
swa_start = 7
swa_scheduler = SWALR(optimizer, swa_lr=0.03, anneal_epochs=2)

for epoch in range(11):
    model.train()
    total = 0.0
    for input, target in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(input), target)
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch >= swa_start:
        swa_model.update_parameters(model)
        swa_scheduler.step()
    else:
        scheduler.step()
    print(f"epoch {epoch} loss {total / len(loader):.4f} lr {optimizer.param_groups[0]['lr']:.4f}")

update_bn(loader, swa_model)
print(
    f"accuracy {accuracy(model, test_loader):.4f}, averaged {accuracy(swa_model, test_loader):.4f}"
)
