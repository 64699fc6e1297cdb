"""A causal language model over letters, with attention written out by hand."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

text = (
    "A train left the station at noon with nine cars and one passenger. The guard asked him where "
    "he was going, and he said that he did not mind, as long as the window stayed open. So they "
    "went over the plain and along the river, past mills and orchards, and the guard sat down "
    "beside him to look. When the sun was low they stopped at a village without a name. The man "
    "thanked the guard, took his hat and walked off through the corn. Nobody saw him again."
)
letters = sorted(set(text))
vocab_size = len(letters)
block_size = 32
dim = 40
num_heads = 4
num_layers = 2
batch_size = 32
epochs = 20
learning_rate = 3e-3
max_grad_norm = 1.0


class Letters(Dataset):
    def __init__(self):
        self.ids = torch.tensor([letters.index(letter) for letter in text])

    def __len__(self):
        return len(self.ids) - block_size

    def __getitem__(self, index):
        ids = self.ids[index : index + block_size + 1]
        return {"input_ids": ids[:-1], "labels": ids[1:]}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.register_buffer("mask", torch.tril(torch.ones(block_size, block_size)).bool())

    def forward(self, x):
        batch, time, _ = x.shape
        q, k, v = self.qkv(x).view(batch, time, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5  # (batch, heads, time, time)
        scores = scores.masked_fill(~self.mask[:time, :time], -torch.inf)
        weights = F.softmax(scores, dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, time, dim))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(0.05)

    def forward(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, dim)
        self.positions = nn.Embedding(block_size, dim)
        self.blocks = nn.ModuleList([Block() for _ in range(num_layers)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab_size)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids, labels=None):  # both (batch, time)
        _, time = input_ids.shape
        x = self.tokens(input_ids) + self.positions(torch.arange(time))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {"loss": loss, "logits": logits}


def build():
    torch.manual_seed(1337)
    loader = DataLoader(Letters(), batch_size=batch_size, shuffle=True, drop_last=True)
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    return model, loader, optimizer


def train_step(model, batch, optimizer):
    optimizer.zero_grad()
    loss = model(**batch)["loss"]
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return loss


def train_loop(model, loader, optimizer, epochs):
    model.train()
    for epoch in range(epochs):
        for batch in loader:
            loss = train_step(model, batch, optimizer)
        print(f"epoch {epoch}: loss {loss.item():.4f}")


def setup():
    model, loader, optimizer = build()
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "max_grad_norm": max_grad_norm,
        "epochs": epochs,
    }


def setup_step():
    model, loader, optimizer = build()
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "train_step": train_step,
    }


def setup_loop():
    model, loader, optimizer = build()
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "train_loop": train_loop,
        "epochs": epochs,
    }


if __name__ == "__main__":
    train_loop(*build(), epochs)
