"""Synthetic speech: each phone is a pattern over 20 frequency bands, held for some frames."""

import torch
from torch.utils.data import Dataset

NUM_PHONES = 8
NUM_BANDS = 20


def phone_patterns():
    g = torch.Generator().manual_seed(1234)
    return 1.2 * torch.randn(NUM_PHONES + 1, NUM_BANDS, generator=g)


class Utterances(Dataset):
    """Items are (features, phones); phones are 1 ... NUM_PHONES, 0 is the blank."""

    def __init__(self, size, seed, noise=0.6):
        g = torch.Generator().manual_seed(seed)
        patterns = phone_patterns()
        self.items = []
        for _ in range(size):
            num_phones = int(torch.randint(4, 8, (1,), generator=g))
            phones = torch.randint(1, NUM_PHONES + 1, (num_phones,), generator=g)
            holds = torch.randint(4, 8, (num_phones,), generator=g)
            frames = patterns[phones].repeat_interleave(holds, dim=0)
            self.items.append((frames + noise * torch.randn(frames.shape, generator=g), phones))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def pad_batch(items):
    """Return padded features, joined phones, and the lengths of both."""
    features, phones = zip(*items)
    input_lengths = torch.tensor([len(f) for f in features])
    target_lengths = torch.tensor([len(p) for p in phones])
    padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
    return padded, torch.cat(phones), input_lengths, target_lengths
