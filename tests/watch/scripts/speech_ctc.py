"""Phone recognition with a bidirectional GRU and the CTC loss. The data is in speech_data.py."""

import torch
from speech_data import NUM_BANDS, NUM_PHONES, Utterances, pad_batch
from torch import nn
from torch.utils.data import DataLoader


class AcousticModel(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.norm = nn.LayerNorm(NUM_BANDS)
        self.gru = nn.GRU(NUM_BANDS, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, NUM_PHONES + 1)

    def forward(self, features):
        hidden, _ = self.gru(self.norm(features))
        return self.fc(hidden).log_softmax(dim=-1)


def greedy_decode(log_probs, input_lengths):
    best = log_probs.argmax(dim=-1)
    decoded = []
    for row, length in zip(best, input_lengths.tolist()):
        collapsed = torch.unique_consecutive(row[:length])
        decoded.append(collapsed[collapsed != 0].tolist())
    return decoded


def exact_matches(model, loader):
    model.eval()
    matches = 0
    with torch.no_grad():
        for features, phones, input_lengths, target_lengths in loader:
            decoded = greedy_decode(model(features), input_lengths)
            references = [r.tolist() for r in phones.split(target_lengths.tolist())]
            matches += sum(d == r for d, r in zip(decoded, references))
    return matches / len(loader.dataset)


def main():
    torch.manual_seed(0)
    train_loader = DataLoader(Utterances(640, 0), batch_size=32, shuffle=True, collate_fn=pad_batch)
    test_loader = DataLoader(Utterances(96, 1), batch_size=32, collate_fn=pad_batch)
    model = AcousticModel()
    ctc_loss = nn.CTCLoss(blank=0, zero_infinity=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(1, 7):
        model.train()
        total_loss = 0.0
        for features, phones, input_lengths, target_lengths in train_loader:
            optimizer.zero_grad()
            log_probs = model(features)
            loss = ctc_loss(log_probs.transpose(0, 1), phones, input_lengths, target_lengths)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            total_loss += loss.item()
        matches = exact_matches(model, test_loader)
        print(
            f"Epoch {epoch} | CTC loss {total_loss / len(train_loader):.4f} | exact {matches:.3f}"
        )


if __name__ == "__main__":
    main()
