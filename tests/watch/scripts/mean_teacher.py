"""Semi-supervised mean teacher: the teacher is a running average of the student."""

import copy
import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_model():
    return nn.Sequential(
        nn.Linear(20, 160),
        nn.BatchNorm1d(160),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(160, 160),
        nn.ReLU(),
        nn.Linear(160, 5),
    )


@torch.no_grad()
def update_teacher(student, teacher, decay):
    for p_s, p_t in zip(student.parameters(), teacher.parameters()):
        p_t.mul_(decay).add_(p_s, alpha=1 - decay)
    for b_s, b_t in zip(student.buffers(), teacher.buffers()):
        b_t.copy_(b_s)


def clusters(num_samples, generator):
    centres = torch.randn(5, 20, generator=torch.Generator().manual_seed(99)) * 0.55
    label = torch.randint(0, 5, (num_samples,), generator=generator)
    return centres[label] + torch.randn(num_samples, 20, generator=generator), label


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def main():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    labelled = TensorDataset(*clusters(320, generator))
    unlabelled = TensorDataset(clusters(2560, generator)[0])
    test_x, test_y = clusters(500, generator)

    student = make_model()
    teacher = copy.deepcopy(student)
    for p in teacher.parameters():
        p.requires_grad_(False)

    optimizer = torch.optim.SGD(student.parameters(), lr=0.03, momentum=0.9, nesterov=True)
    labelled_loader = DataLoader(labelled, batch_size=32, shuffle=True)
    unlabelled_loader = DataLoader(unlabelled, batch_size=128, shuffle=True)
    steps, rampup = 0, 80
    for epoch in range(8):
        student.train()
        teacher.train()
        sup_total = con_total = 0.0
        for (x_l, y_l), (x_u,) in zip(itertools.cycle(labelled_loader), unlabelled_loader):
            with torch.no_grad():
                target = teacher(x_u + 0.3 * torch.randn_like(x_u)).softmax(dim=1)
            logits_l = student(x_l)
            logits_u = student(x_u + 0.3 * torch.randn_like(x_u))
            supervised = F.cross_entropy(logits_l, y_l)
            consistency = F.mse_loss(logits_u.softmax(dim=1), target)
            weight = 3.0 * math.exp(-5.0 * (1.0 - min(1.0, steps / rampup)) ** 2)
            loss = supervised + weight * consistency

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            update_teacher(student, teacher, decay=min(1 - 1 / (steps + 1), 0.98))
            steps += 1
            sup_total += supervised.item()
            con_total += consistency.item()
        n = len(unlabelled_loader)
        print(
            f"epoch {epoch}: supervised {sup_total / n:.4f} consistency {con_total / n:.4f} "
            f"student {accuracy(student, test_x, test_y):.3f} "
            f"teacher {accuracy(teacher, test_x, test_y):.3f}"
        )


if __name__ == "__main__":
    main()
