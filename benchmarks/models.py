"""The setups that the benchmarks measure: a causal transformer in two sizes."""

from __future__ import annotations

from typing import Any

import torch


def transformer(width: int = 320, layers: int = 6, time: int = 64, batch: int = 8) -> Any:
    """Return a Llama of about 10 million parameters and learnable batches for it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2000,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
    )
    tokens = torch.randint(0, 2000, (16 * batch, time))
    tokens[:, 1::2] = (tokens[:, ::2] * 7 + 3) % 2000  # every second token follows from the first
    samples = [{"input_ids": row, "labels": row} for row in tokens]
    loader = torch.utils.data.DataLoader(samples, batch_size=batch, shuffle=True)
    return {"model": LlamaForCausalLM(config), "loader": loader}


def small() -> Any:
    """Return one of about 1 million parameters."""
    return transformer(width=96, layers=4, time=32)
