"""Binary weights with a straight-through estimator, as a custom autograd function."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Sign(torch.autograd.Function):
    """The sign; its gradient is passed through where the input is within [-1, 1]."""

    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return torch.where(input >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * (input.abs() <= 1).to(grad_output.dtype)


class BinaryLinear(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features).uniform_(-0.5, 0.5))
        self.gain = nn.Parameter(torch.full((out_features,), in_features**-0.5))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x):
        return self.gain * F.linear(x, Sign.apply(self.weight)) + self.bias


class BinaryNet(nn.Module):
    def __init__(self, num_inputs=48, hidden=256, num_classes=6):
        super().__init__()
        self.fc1 = BinaryLinear(num_inputs, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.fc2 = BinaryLinear(hidden, hidden)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(hidden, num_classes)

    def forward(self, x):
        x = F.hardtanh(self.bn1(self.fc1(x)))
        x = F.hardtanh(self.bn2(self.fc2(x)))
        return self.out(x)


def codewords(size, seed):
    """Noisy words of a code of six."""
    code = torch.randint(0, 2, (6, 48), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 6, (size,), generator=g)
    flips = torch.where(torch.rand(size, 48, generator=g) < 0.25, -1.0, 1.0)
    return TensorDataset(code[label] * flips, label)


def main():
    torch.manual_seed(0)
    model = BinaryNet()
    train_loader = DataLoader(codewords(1920, 1), batch_size=64, shuffle=True)
    x_test, y_test = codewords(600, 2).tensors
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(8):
        model.train()
        epoch_loss = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            # keep the latent weights where their gradient passes
            with torch.no_grad():
                for module in model.modules():
                    if isinstance(module, BinaryLinear):
                        module.weight.clamp_(-1, 1)
            epoch_loss += loss.item()
        model.eval()
        with torch.no_grad():
            acc = (model(x_test).argmax(1) == y_test).float().mean()
        print(f"epoch {epoch}: loss {epoch_loss / len(train_loader):.4f}, accuracy {acc:.3f}")


if __name__ == "__main__":
    main()
