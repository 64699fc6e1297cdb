"""Activation checkpointing in a small transformer that sorts numbers."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

VOCAB, LENGTH = 20, 10


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        batch, time, dim = x.shape
        qkv = self.qkv(x).view(batch, time, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(out.transpose(1, 2).reshape(batch, time, dim))


class Layer(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class Sorter(nn.Module):
    """Reads the numbers, then writes them in order."""

    def __init__(self, dim=64, heads=4, depth=3, use_checkpoint=True):
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.embed = nn.Embedding(VOCAB, dim)
        self.position = nn.Parameter(0.02 * torch.randn(2 * LENGTH - 1, dim))
        self.layers = nn.ModuleList([Layer(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.lm_head = nn.Linear(dim, VOCAB)

    def forward(self, ids):
        x = self.embed(ids) + self.position[: ids.size(1)]
        for layer in self.layers:
            if self.use_checkpoint and self.training:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return self.lm_head(self.norm(x))


def get_batch(size, generator):
    numbers = torch.randint(0, VOCAB, (size, LENGTH), generator=generator)
    sequence = torch.cat([numbers, numbers.sort(dim=1).values], dim=1)
    x, y = sequence[:, :-1], sequence[:, 1:].clone()
    y[:, : LENGTH - 1] = -1  # nothing to learn while reading
    return x, y


def main():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = Sorter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    model.train()
    for step in range(1, 121):
        x, y = get_batch(32, generator)
        logits = model(x)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-1)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step:4d} train loss {loss.item():.5f}")

    model.eval()
    with torch.no_grad():
        x, y = get_batch(200, generator)
        right = model(x).argmax(-1)[:, LENGTH - 1 :] == y[:, LENGTH - 1 :]
    print(f"sorted correctly: {right.float().mean():.3f} of numbers")


if __name__ == "__main__":
    main()
