"""Momentum contrast: a key encoder that follows the query encoder, and a queue of old keys."""

import copy

import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(48, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.project = nn.Linear(128, dim)

    def forward(self, x):
        return F.normalize(self.project(self.body(x)), dim=1)


class MoCo(nn.Module):
    def __init__(self, dim=32, queue_size=512, momentum=0.97, temperature=0.2):
        super().__init__()
        self.momentum, self.temperature = momentum, temperature
        self.encoder_q = Net(dim)
        self.encoder_k = copy.deepcopy(self.encoder_q)
        for p in self.encoder_k.parameters():
            p.requires_grad = False
        self.register_buffer("queue", F.normalize(torch.randn(dim, queue_size), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def _momentum_update_key_encoder(self):
        for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
            k.data = k.data * self.momentum + q.data * (1.0 - self.momentum)

    @torch.no_grad()
    def _dequeue_and_enqueue(self, keys):
        ptr = int(self.queue_ptr)
        self.queue[:, ptr : ptr + len(keys)] = keys.T
        self.queue_ptr[0] = (ptr + len(keys)) % self.queue.size(1)

    def forward(self, im_q, im_k):
        q = self.encoder_q(im_q)
        with torch.no_grad():
            self._momentum_update_key_encoder()
            k = self.encoder_k(im_k)
        l_pos = (q * k).sum(dim=1, keepdim=True)
        l_neg = q @ self.queue.clone().detach()
        logits = torch.cat([l_pos, l_neg], dim=1) / self.temperature
        labels = torch.zeros(len(logits), dtype=torch.long)
        self._dequeue_and_enqueue(k)
        return logits, labels


def views(n, mixing):
    """Two noisy observations of the same hidden state."""
    hidden = torch.randn(n, 6)
    clean = torch.tanh(hidden @ mixing)
    return clean + 0.3 * torch.randn(n, 48), clean + 0.3 * torch.randn(n, 48)


def main():
    torch.manual_seed(0)
    mixing = torch.randn(6, 48)
    model = MoCo()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.encoder_q.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4
    )
    for step in range(1, 241):
        im_q, im_k = views(64, mixing)
        logits, labels = model(im_q, im_k)
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            top1 = (logits.argmax(dim=1) == labels).float().mean().item()
            print(f"step {step} loss {loss.item():.4f} top1 {top1:.3f}")


if __name__ == "__main__":
    main()
