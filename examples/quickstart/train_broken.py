"""A small Llama learns Shakespeare's sonnets.

python train.py                        trains it
traindoctor check train.py:setup       examines it
"""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
BLOCK = 64  # tokens a sample


class Poet(nn.Module):
    """A Llama with an adapter between its layers and its head."""

    def __init__(self, vocab_size, dim=128):
        super().__init__()
        config = LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=dim,
            intermediate_size=4 * dim,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
        )
        self.llama = LlamaForCausalLM(config)
        self.adapter = nn.Sequential(nn.Linear(dim, dim // 4), nn.GELU(), nn.Linear(dim // 4, dim))

    def forward(self, input_ids):  # (batch, time) -> (batch, time, vocabulary)
        hidden = self.llama.model(input_ids=input_ids).last_hidden_state.detach()
        hidden = hidden + self.adapter(hidden)
        return self.llama.lm_head(hidden)


def next_token_loss(logits, batch):
    return nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten()
    )


def sonnets(tokenizer, batch_size=8):
    """The text as blocks of `BLOCK` tokens that overlap by half."""
    ids = torch.tensor(tokenizer((HERE / "sonnets.txt").read_text())["input_ids"])
    blocks = ids.unfold(0, BLOCK, BLOCK // 2)
    return DataLoader([{"input_ids": block} for block in blocks], batch_size, shuffle=True)


def setup():
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(HERE / "tokenizer.json"))
    model = Poet(len(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return {
        "model": model,
        "loader": sonnets(tokenizer),
        "optimizer": optimizer,
        "loss_fn": next_token_loss,
        "max_grad_norm": 1.0,
    }


if __name__ == "__main__":
    parts = setup()
    model, optimizer = parts["model"], parts["optimizer"]
    for epoch in range(3):
        for batch in parts["loader"]:
            optimizer.zero_grad()
            loss = next_token_loss(model(**batch), batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), parts["max_grad_norm"])
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}")
