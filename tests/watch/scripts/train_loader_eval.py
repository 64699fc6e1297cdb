"""Accuracy is measured on the loader that trains, in eval mode, after each epoch."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class GRUCounter(nn.Module):
    """Says how often the commonest symbol of a sequence occurs in a row."""

    def __init__(self, num_symbols=4, dim=40, longest=5):
        super().__init__()
        self.embed = nn.Embedding(num_symbols, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(dim, longest)

    def forward(self, ids):
        _, state = self.gru(self.embed(ids))
        return self.out(self.dropout(state[0]))


def longest_run(ids, most=5):
    longest = torch.ones(len(ids), dtype=torch.long)
    current = torch.ones(len(ids), dtype=torch.long)
    for t in range(1, ids.size(1)):
        current = torch.where(ids[:, t] == ids[:, t - 1], current + 1, torch.ones_like(current))
        longest = torch.maximum(longest, current)
    return longest.clamp(max=most) - 1


def evaluate(model, loader):
    model.eval()
    loss, right, count = 0.0, 0, 0
    criterion = nn.CrossEntropyLoss(reduction="sum")
    with torch.no_grad():
        for ids, labels in loader:
            logits = model(ids)
            loss += criterion(logits, labels).item()
            right += (logits.argmax(dim=1) == labels).sum().item()
            count += len(labels)
    return loss / count, right / count


if __name__ == "__main__":
    torch.manual_seed(6)
    ids = torch.randint(0, 4, (1280, 14))
    loader = DataLoader(TensorDataset(ids, longest_run(ids)), batch_size=64, shuffle=True)
    model = GRUCounter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss()

    for epoch in range(1, 9):
        model.train()
        for ids, labels in loader:
            optimizer.zero_grad()
            criterion(model(ids), labels).backward()
            optimizer.step()
        loss, accuracy = evaluate(model, loader)
        print(f"epoch {epoch}: training-set loss {loss:.4f}, accuracy {accuracy:.3f}")
