"""Addition of numbers written as digits; sequences become longer as training goes on."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader, Dataset

PAD = 10


class Additions(Dataset):
    """Pairs of numbers of up to `max_digits` digits, lowest digit first, and their sum."""

    def __init__(self, size, max_digits, seed):
        g = torch.Generator().manual_seed(seed)
        self.samples = []
        for _ in range(size):
            n = int(torch.randint((max_digits + 1) // 2 + 1, max_digits + 2, (1,), generator=g))
            digits = torch.randint(0, 10, (n, 2), generator=g)
            digits[-1] = 0  # room for the carry
            carry, result = 0, []
            for a, b in digits.tolist():
                carry, digit = divmod(a + b + carry, 10)
                result.append(digit)
            self.samples.append((digits, torch.tensor(result)))

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


def collate(samples):
    samples.sort(key=lambda sample: -len(sample[1]))
    lengths = torch.tensor([len(result) for _, result in samples])
    inputs = nn.utils.rnn.pad_sequence([d for d, _ in samples], batch_first=True, padding_value=PAD)
    targets = nn.utils.rnn.pad_sequence(
        [r for _, r in samples], batch_first=True, padding_value=-100
    )
    return inputs, targets, lengths


class Adder(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.embed = nn.Embedding(PAD + 1, dim, padding_idx=PAD)
        self.lstm = nn.LSTM(2 * dim, dim, batch_first=True)
        self.out = nn.Linear(dim, 10)

    def forward(self, inputs, lengths):
        x = self.embed(inputs).flatten(2)
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.out(hidden)


def main():
    torch.manual_seed(0)
    model = Adder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    for level, max_digits in enumerate([3, 5, 8, 12]):
        loader = DataLoader(
            Additions(960, max_digits, seed=level), batch_size=48, shuffle=True, collate_fn=collate
        )
        for epoch in range(2):
            losses = []
            for inputs, targets, lengths in loader:
                logits = model(inputs, lengths)
                loss = criterion(logits.transpose(1, 2), targets)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                losses.append(loss.item())
            mean = sum(losses) / max(len(losses), 1)
            print(f"up to {max_digits:2d} digits, pass {epoch}: loss {mean:.4f}")


if __name__ == "__main__":
    main()
