"""Guess the next letter of a little story from the last sixteen, with a recurrent network."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

text = (
    "The keeper of the light went up the stairs each evening, when the gulls had gone to sleep. "
    "He carried a lamp, a book and a loaf of bread, and he counted the steps aloud. There were "
    "ninety and nine of them. At the top he trimmed the wick, wiped the glass and wrote the hour "
    "and the weather in the book. Then he sat down and looked at the sea until the morning came. "
    "Ships went by with their own small lights, and not one of them came near the rocks."
)
vocab_size = 128  # ASCII
window = 16
dim = 48
num_layers = 2
batch_size = 32
epochs = 20
learning_rate = 5e-3
max_grad_norm = 1.0


def collate(starts):
    """Return the letters from each start on, how far into the text it is, and the next letter."""
    places = torch.tensor(starts) / len(text)
    return {
        "input_ids": torch.tensor([[ord(c) for c in text[i : i + window]] for i in starts]),
        "place": places[:, None],
        "labels": torch.tensor([ord(text[i + window]) for i in starts]),
    }


class GRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim)
        self.place = nn.Linear(1, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.layers = nn.ModuleList([nn.Linear(dim, dim) for _ in range(num_layers)])
        self.dropout = nn.Dropout(0.05)
        self.head = nn.Linear(dim, vocab_size)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids, place):  # (batch, time), (batch, 1) -> (batch, vocab_size)
        x = self.embedding(input_ids)
        start = torch.tanh(self.place(place))
        _, state = self.gru(x, start[None])
        x = state[-1]
        for layer in self.layers:
            x = x + self.dropout(torch.tanh(layer(x)))
        return self.head(x)


def loss_fn(outputs, labels):
    return F.cross_entropy(outputs, labels)


def build():
    torch.manual_seed(1337)
    starts = range(len(text) - window)
    loader = DataLoader(
        starts, batch_size=batch_size, shuffle=True, drop_last=True, collate_fn=collate
    )
    model = GRU()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    return model, loader, optimizer


def train_step(model, batch, optimizer):
    optimizer.zero_grad()
    outputs = model(batch["input_ids"], batch["place"])
    loss = loss_fn(outputs, batch["labels"])
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
        "loss_fn": loss_fn,
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
