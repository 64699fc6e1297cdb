"""Fine-tune a pretrained trunk slowly and a new head quickly: two parameter groups."""

import torch
import torch.nn as nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

IN, DIM = 16, 128


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(IN, DIM), nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)])
        self.norm = nn.LayerNorm(DIM)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.norm(x)


class Classifier(nn.Module):
    def __init__(self, backbone, num_classes):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(DIM, num_classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def samples(n, task, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, IN, generator=g)
    angle = torch.atan2(x[:, 0] * x[:, 1], x[:, 2] + x[:, 3])
    bins = 8 if task == "pretrain" else 4
    turn = 0.0 if task == "pretrain" else 0.4
    return TensorDataset(x, ((angle + turn) / 6.2832 * bins).floor().long() % bins)


def get_param_groups(model, head_lr, backbone_lr, weight_decay=0.01):
    no_decay = ("bias", "norm.weight")
    groups = []
    for prefix, lr in (("backbone", backbone_lr), ("head", head_lr)):
        named = [(n, p) for n, p in model.named_parameters() if n.startswith(prefix)]
        groups.append(
            {
                "params": [p for n, p in named if not n.endswith(no_decay)],
                "lr": lr,
                "weight_decay": weight_decay,
            }
        )
        groups.append(
            {"params": [p for n, p in named if n.endswith(no_decay)], "lr": lr, "weight_decay": 0.0}
        )
    return groups


def fit(name, model, optimizer, loader, num_epochs):
    total = num_epochs * len(loader)
    scheduler = LambdaLR(optimizer, lambda step: 1.0 - 0.9 * step / total)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    model.train()
    for epoch in range(num_epochs):
        running_loss = 0.0
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            running_loss += loss.item()
        lrs = ", ".join(f"{lr:.1e}" for lr in dict.fromkeys(scheduler.get_last_lr()))
        print(f"{name} epoch {epoch}: loss={running_loss / len(loader):.4f} lr=[{lrs}]")


def main():
    torch.manual_seed(0)
    backbone = Backbone()
    model = Classifier(backbone, num_classes=8)
    loader = DataLoader(samples(2048, "pretrain", 0), batch_size=64, shuffle=True)
    fit("pretrain", model, AdamW(model.parameters(), lr=2e-3), loader, 5)

    model = Classifier(backbone, num_classes=4)
    loader = DataLoader(samples(768, "finetune", 1), batch_size=32, shuffle=True)
    fit("finetune", model, AdamW(get_param_groups(model, 3e-3, 3e-4)), loader, 4)


if __name__ == "__main__":
    main()
