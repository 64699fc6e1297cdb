"""Skip-gram with negative sampling: sparse embeddings and SparseAdam."""

import argparse
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class SkipGram(nn.Module):
    def __init__(self, vocab_size, emb_dim):
        super().__init__()
        self.u_embeddings = nn.Embedding(vocab_size, emb_dim, sparse=True)
        self.v_embeddings = nn.Embedding(vocab_size, emb_dim, sparse=True)
        bound = 0.5 / emb_dim**0.5
        nn.init.uniform_(self.u_embeddings.weight, -bound, bound)
        nn.init.uniform_(self.v_embeddings.weight, -bound, bound)

    def forward(self, pos_u, pos_v, neg_v):
        emb_u = self.u_embeddings(pos_u)
        emb_v = self.v_embeddings(pos_v)
        emb_neg_v = self.v_embeddings(neg_v)
        score = F.logsigmoid((emb_u * emb_v).sum(dim=1))
        neg_score = F.logsigmoid(-(emb_neg_v @ emb_u.unsqueeze(2)).squeeze(2)).sum(dim=1)
        return -(score + neg_score).mean()


class Pairs(Dataset):
    """Words of topics: words of the same topic stand beside one another."""

    def __init__(self, num_topics=20, words_per_topic=25, num_pairs=12000, negatives=4):
        rng = random.Random(0)
        self.vocab_size = num_topics * words_per_topic
        self.pairs = []
        for _ in range(num_pairs):
            topic = rng.randrange(num_topics) * words_per_topic
            a, b = rng.sample(range(words_per_topic), 2)
            self.pairs.append((topic + a, topic + b))
        self.negatives = negatives

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]

    def collate(self, batch):
        u, v = torch.tensor(batch).unbind(1)
        return u, v, torch.randint(0, self.vocab_size, (len(batch), self.negatives))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--initial_lr", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(0)

    dataset = Pairs()
    loader = DataLoader(
        dataset, batch_size=args.batch_size, shuffle=True, collate_fn=dataset.collate
    )
    model = SkipGram(dataset.vocab_size, args.dim)
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=args.initial_lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader) * args.epochs)
    for epoch in range(args.epochs):
        running_loss = 0.0
        for i, (pos_u, pos_v, neg_v) in enumerate(loader):
            optimizer.zero_grad()
            loss = model(pos_u, pos_v, neg_v)
            loss.backward()
            optimizer.step()
            scheduler.step()
            running_loss = running_loss * 0.9 + loss.item() * 0.1 if i or epoch else loss.item()
        print(f"Iteration {epoch + 1}: Loss: {running_loss:.4f}")


if __name__ == "__main__":
    main()
