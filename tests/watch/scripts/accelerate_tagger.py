"""Token tagging with accelerate: accumulation, clipping, a linear schedule."""

import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset


class BracketDataset(Dataset):
    """Tag each symbol with its nesting depth; brackets are ids 1 and 2, letters the rest."""

    def __init__(self, size, length=32, seed=0):
        g = torch.Generator().manual_seed(seed)
        self.inputs = torch.randint(3, 30, (size, length), generator=g)
        self.tags = torch.zeros(size, length, dtype=torch.long)
        for row in range(size):
            depth = 0
            for t in range(length):
                r = torch.rand((), generator=g).item()
                if r < 0.25 and depth < 3:
                    self.inputs[row, t] = 1
                    depth += 1
                elif r < 0.45 and depth > 0:
                    self.inputs[row, t] = 2
                    depth -= 1
                self.tags[row, t] = depth

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return {"input_ids": self.inputs[index], "tags": self.tags[index]}


class Tagger(nn.Module):
    def __init__(self, vocab_size=30, dim=48, num_tags=4):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, dim)
        self.lstm = nn.LSTM(dim, dim, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * dim, num_tags)

    def forward(self, input_ids):
        hidden, _ = self.lstm(self.embed(input_ids))
        return self.out(hidden)


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_train_epochs", type=int, default=4)
    parser.add_argument("--learning_rate", type=float, default=1e-2)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=2)
    parser.add_argument("--max_grad_norm", type=float, default=1.0)
    parser.add_argument("--warmup_steps", type=int, default=5)
    return parser.parse_args()


def main():
    args = parse_args()
    accelerator = Accelerator(
        gradient_accumulation_steps=args.gradient_accumulation_steps, cpu=True
    )
    set_seed(3)

    train_loader = DataLoader(BracketDataset(768), batch_size=32, shuffle=True)
    eval_loader = DataLoader(BracketDataset(128, seed=1), batch_size=64)
    model = Tagger()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    total_steps = args.num_train_epochs * len(train_loader) // args.gradient_accumulation_steps

    def lr_lambda(step):
        if step < args.warmup_steps:
            return (step + 1) / args.warmup_steps
        return max(0.0, (total_steps - step) / (total_steps - args.warmup_steps))

    scheduler = LambdaLR(optimizer, lr_lambda)
    model, optimizer, train_loader, eval_loader, scheduler = accelerator.prepare(
        model, optimizer, train_loader, eval_loader, scheduler
    )

    for epoch in range(args.num_train_epochs):
        model.train()
        for step, batch in enumerate(train_loader):
            with accelerator.accumulate(model):
                logits = model(batch["input_ids"])
                loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch["tags"].flatten())
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            if step % 8 == 0:
                accelerator.print(f"epoch {epoch} step {step} loss {loss.item():.4f}")

        model.eval()
        right = total = 0
        for batch in eval_loader:
            with torch.no_grad():
                predictions = model(batch["input_ids"]).argmax(-1)
            predictions, tags = accelerator.gather_for_metrics((predictions, batch["tags"]))
            right += (predictions == tags).sum().item()
            total += tags.numel()
        accelerator.print(f"epoch {epoch} accuracy {right / total:.3f}")

    accelerator.end_training()


if __name__ == "__main__":
    main()
