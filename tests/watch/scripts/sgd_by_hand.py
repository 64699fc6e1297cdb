"""A softmax regression and a two-layer net without torch.optim, straight from the equations."""

import torch

torch.manual_seed(0)

# data: which of three directions does a noisy vector follow?
N, D, H, C = 6000, 40, 400, 3
directions = torch.randn(C, D)
labels = torch.randint(0, C, (N,))
inputs = directions[labels] * torch.where(torch.rand(N, 1) < 0.5, 1.0, -1.0) + 1.5 * torch.randn(
    N, D
)
inputs = (inputs - inputs.mean(0)) / inputs.std(0)

W1 = (torch.randn(D, H) * (2 / D) ** 0.5).requires_grad_()
b1 = torch.zeros(H, requires_grad=True)
W2 = (torch.randn(H, C) * (1 / H) ** 0.5).requires_grad_()
b2 = torch.zeros(C, requires_grad=True)
params = [W1, b1, W2, b2]


def forward(x):
    hidden = (x @ W1 + b1).clamp(min=0)
    return hidden @ W2 + b2


def cross_entropy(logits, y):
    log_probs = logits - logits.logsumexp(dim=1, keepdim=True)
    return -log_probs[torch.arange(len(y)), y].mean()


batch_size, learning_rate = 50, 0.1
for epoch in range(12):
    order = torch.randperm(N)
    epoch_loss = 0.0
    for i in range(0, N, batch_size):
        batch = order[i : i + batch_size]
        loss = cross_entropy(forward(inputs[batch]), labels[batch])
        loss.backward()
        with torch.no_grad():
            for p in params:
                p -= learning_rate * p.grad
                p.grad.zero_()
        epoch_loss += loss.item() * len(batch) / N
    with torch.no_grad():
        accuracy = (forward(inputs).argmax(dim=1) == labels).float().mean()
    print(f"epoch {epoch + 1}: loss = {epoch_loss:.4f}, accuracy = {accuracy:.3f}")
