"""Matrix factorisation with biases."""

import torch
from torch import nn


class Factors(nn.Module):
    def __init__(self, num_users, num_items, dim):
        super().__init__()
        self.users = nn.Embedding(num_users, dim)
        self.items = nn.Embedding(num_items, dim)
        self.item_bias = nn.Embedding(num_items, 1)
        for table in (self.users, self.items, self.item_bias):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, user, item):
        return (self.users(user) * self.items(item)).sum(-1) + self.item_bias(item).squeeze(-1)


def bpr_loss(liked, other):
    """Bayesian personalised ranking: the liked item should score higher."""
    return -torch.nn.functional.logsigmoid(liked - other).mean()
