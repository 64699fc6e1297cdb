"""Low-rank adapters, written by hand, on a tiny Llama whose own weights stay frozen."""

import argparse
import math

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset
from transformers import LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.base = base
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scaling = alpha / rank
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x):
        return self.base(x) + self.scaling * (x @ self.lora_A.T @ self.lora_B.T)


def add_adapters(model, rank, alpha, targets=("q_proj", "v_proj", "o_proj", "down_proj")):
    for p in model.parameters():
        p.requires_grad = False
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in targets and isinstance(child, nn.Linear):
                setattr(module, name, LoRALinear(child, rank, alpha))
    return model


def print_trainable_parameters(model):
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    print(
        f"trainable params: {trainable:,} || all params: {total:,} || "
        f"{100 * trainable / total:.2f}%"
    )


class Recall(Dataset):
    """Key-value pairs, then one of the keys: the answer is its value."""

    def __init__(self, size, seed):
        g = torch.Generator().manual_seed(seed)
        self.rows = []
        for _ in range(size):
            keys = torch.randperm(8, generator=g)[:3]
            values = 8 + torch.randint(0, 8, (3,), generator=g)
            asked = int(torch.randint(0, 3, (1,), generator=g))
            pairs = torch.stack([keys, values], dim=1).flatten()
            ids = torch.cat([pairs, keys[asked : asked + 1], values[asked : asked + 1]])
            labels = torch.full_like(ids, -100)
            labels[-1] = ids[-1]
            self.rows.append({"input_ids": ids, "labels": labels})

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        initializer_range=0.1,
    )
    model = add_adapters(LlamaForCausalLM(config), args.rank, args.alpha)
    print_trainable_parameters(model)

    loader = DataLoader(Recall(1024, seed=0), batch_size=32, shuffle=True)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=args.lr, weight_decay=0.0)
    total_steps = args.epochs * len(loader)
    scheduler = get_cosine_schedule_with_warmup(optimizer, total_steps // 10, total_steps)

    model.train()
    step = 0
    for epoch in range(args.epochs):
        for batch in loader:
            outputs = model(**batch)
            outputs.loss.backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step += 1
            if step % 8 == 0:
                lr = scheduler.get_last_lr()[0]
                print(f"{step}/{total_steps} loss={outputs.loss.item():.4f} lr={lr:.5f}")


if __name__ == "__main__":
    main()
