"""Soft prompts for a frozen GPT-2: only the vectors that are put before the input are trained."""

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

VOCAB, LENGTH, PROMPT = 24, 12, 8


def counting(batch_size, step):
    """Sequences that count upwards by a fixed step, modulo the vocabulary."""
    start = torch.randint(0, VOCAB, (batch_size, 1))
    return (start + step * torch.arange(LENGTH)) % VOCAB


class PromptedModel(nn.Module):
    def __init__(self, lm, num_virtual_tokens):
        super().__init__()
        self.lm = lm
        for p in self.lm.parameters():
            p.requires_grad_(False)
        table = lm.get_input_embeddings().weight
        picked = table[torch.randint(0, len(table), (num_virtual_tokens,))]
        self.prompt = nn.Parameter(picked.detach().clone())

    def forward(self, input_ids):
        embedded = self.lm.get_input_embeddings()(input_ids)
        prompt = self.prompt.expand(len(input_ids), -1, -1)
        logits = self.lm(inputs_embeds=torch.cat([prompt, embedded], dim=1)).logits
        return logits[:, self.prompt.size(0) :]


def next_token_loss(logits, ids):
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def main():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=32,
        n_embd=48,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    lm = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(lm.parameters(), lr=3e-3)
    lm.train()
    for step in range(100):
        ids = torch.cat([counting(16, 1), counting(16, 2)])
        loss = next_token_loss(lm(ids).logits, ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"language model trained, loss {loss.item():.4f}")

    model = PromptedModel(lm, PROMPT)
    optimizer = torch.optim.AdamW([model.prompt], lr=0.1, weight_decay=0.0)
    model.lm.eval()
    total = 0.0
    for step in range(1, 81):
        ids = counting(32, 3)
        loss = next_token_loss(model(ids), ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if step % 20 == 0:
            print(f"prompt step {step} mean loss {total / 20:.4f}")
            total = 0.0


if __name__ == "__main__":
    main()
