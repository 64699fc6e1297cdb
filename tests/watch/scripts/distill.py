"""Distil a wide network into a narrow one: train the teacher, freeze it, train the student."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def knobs(num_samples=2048, seed=0):
    """Eight real-valued knobs; the class depends on which of some products is largest."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(num_samples, 8, generator=g)
    scores = torch.stack([x[:, 0] * x[:, 1], x[:, 2], x[:, 3] * x[:, 4], x[:, 5] - x[:, 6]], dim=1)
    return x, scores.argmax(dim=1)


class MLP(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        layers = [nn.Linear(8, width), nn.ReLU()]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(width, 4)

    def forward(self, x):
        return self.fc(self.features(x))


def train_teacher(teacher, loader, epochs):
    optimizer = torch.optim.Adam(teacher.parameters(), lr=2e-3)
    for epoch in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(teacher(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"teacher epoch {epoch}: loss {total / len(loader):.4f}")


def train_student(student, teacher, loader, epochs, T=3.0, alpha=0.7):
    teacher.eval()
    for p in teacher.parameters():
        p.requires_grad = False
    optimizer = torch.optim.Adam(student.parameters(), lr=4e-3)
    for epoch in range(epochs):
        student.train()
        total = 0.0
        for x, y in loader:
            with torch.no_grad():
                teacher_logits = teacher(x)
            student_logits = student(x)
            soft = F.kl_div(
                F.log_softmax(student_logits / T, dim=1),
                F.softmax(teacher_logits / T, dim=1),
                reduction="batchmean",
            )
            hard = F.cross_entropy(student_logits, y)
            loss = alpha * T**2 * soft + (1 - alpha) * hard
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"student epoch {epoch}: loss {total / len(loader):.4f}")


@torch.no_grad()
def test(model, x, y):
    model.eval()
    return (model(x).argmax(dim=1) == y).float().mean().item()


torch.manual_seed(0)
train_loader = DataLoader(TensorDataset(*knobs()), batch_size=128, shuffle=True)
test_x, test_y = knobs(1000, seed=1)
teacher = MLP(width=256, depth=3)
student = MLP(width=32, depth=2)
train_teacher(teacher, train_loader, epochs=8)
print(f"teacher accuracy {test(teacher, test_x, test_y):.3f}")
train_student(student, teacher, train_loader, epochs=10)
print(f"student accuracy {test(student, test_x, test_y):.3f}")
