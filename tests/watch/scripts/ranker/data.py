"""Made-up interactions between users and items."""

import torch
from torch.utils.data import Dataset


class Interactions(Dataset):
    """Triples of a user, an item the user likes, and one drawn at random."""

    def __init__(self, num_users=200, num_items=300, num_triples=6000, seed=0):
        g = torch.Generator().manual_seed(seed)
        users = torch.randn(num_users, 4, generator=g)
        items = torch.randn(num_items, 4, generator=g)
        taste = (users @ items.T + 0.5 * torch.randn(num_users, num_items, generator=g)).softmax(1)
        self.num_users, self.num_items = num_users, num_items
        self.user = torch.randint(0, num_users, (num_triples,), generator=g)
        self.liked = torch.multinomial(taste[self.user], 1, generator=g).squeeze(1)
        self.other = torch.randint(0, num_items, (num_triples,), generator=g)

    def __len__(self):
        return len(self.user)

    def __getitem__(self, index):
        return self.user[index], self.liked[index], self.other[index]
