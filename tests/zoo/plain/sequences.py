"""Recurrent nets and hand-written transformers on a small language."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from tests.zoo.plain.stable import VOCAB, batches, continued, stable, text
from tests.zoo.specimen import Target
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

WIDTH = 32
NUM_TAGS = 4
IGNORED = -100


def next_word_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits (batch, time, words) and targets (batch, time)."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def language_model(model: nn.Module, lr: float = 3e-3) -> Target:
    return {
        "model": model,
        "loader": batches(*continued(text()), size=12),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=lr),
        "loss_fn": next_word_loss,
        "max_grad_norm": 1.0,
    }


class Recurrent(nn.Module):
    """Words into logits over words or tags, through a recurrent core."""

    def __init__(self, core: type[nn.RNNBase], num_out: int, both_ways: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH, padding_idx=0)
        self.core = core(WIDTH, WIDTH, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(WIDTH * (2 if both_ways else 1), num_out)

    def forward(self, words: Tensor) -> Tensor:  # (batch, time) -> (batch, time, num_out)
        hidden, _ = self.core(self.embed(words))
        return self.head(hidden)


class LastWord(Recurrent):
    """Classifies a sequence by its last state."""

    def forward(self, words: Tensor) -> Tensor:  # (batch, time) -> (batch, num_out)
        return super().forward(words)[:, -1]


def rnn_classifier() -> Target:
    """Tell the class of the last word but two."""
    words = text(length=8)
    model = LastWord(nn.RNN, NUM_TAGS)
    return {
        "model": model,
        "loader": batches(words, words[:, -3] % NUM_TAGS, size=12),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3),
        "loss_fn": nn.CrossEntropyLoss(),
        "max_grad_norm": 1.0,
    }


def gru_language_model() -> Target:
    return language_model(Recurrent(nn.GRU, VOCAB))


def lstm_tagger() -> Target:
    """Tags of padded sentences, seen from both ends; padding is ignored by the loss."""
    words = text()
    lengths = torch.randint(8, words.shape[1] + 1, (len(words), 1))
    words = words.masked_fill(torch.arange(words.shape[1]) >= lengths, 0)
    tags = (words % NUM_TAGS).masked_fill(words == 0, IGNORED)
    model = Recurrent(nn.LSTM, NUM_TAGS, both_ways=True)
    return {
        "model": model,
        "loader": batches(words, tags, size=12),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3),
        "loss_fn": next_word_loss,
    }


class Layer(nn.Module):
    """Causal self-attention and a feed-forward part, with the norm before or after each."""

    def __init__(self, norm_first: bool, feed_forward: nn.Module | None = None) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.feed_forward = feed_forward or nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def attend(self, x: Tensor) -> Tensor:  # (batch, time, width) -> (batch, time, width)
        q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:  # (batch, time, width) -> (batch, time, width)
        if self.norm_first:
            x = x + self.attend(self.norm1(x))
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attend(x))
        return self.norm2(x + self.feed_forward(x))


class Transformer(nn.Module):
    """A small GPT: embeddings, layers, norm, head."""

    def __init__(
        self, layers: list[Layer], *, tied: bool = False, checkpointed: bool = False
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCAB, WIDTH)
        self.places = nn.Embedding(32, WIDTH)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)
        self.checkpointed = checkpointed
        for embedding in (self.words, self.places):
            nn.init.normal_(embedding.weight, std=0.02)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, words: Tensor) -> Tensor:  # (batch, time) -> (batch, time, words)
        x = self.words(words) + self.places(torch.arange(words.shape[1], device=words.device))
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.checkpointed else layer(x)
        return self.head(self.norm(x))


def transformer_pre_norm() -> Target:
    return language_model(Transformer([Layer(norm_first=True) for _ in range(2)]))


def transformer_post_norm() -> Target:
    return language_model(Transformer([Layer(norm_first=False) for _ in range(2)]), lr=1e-3)


def tied_weights() -> Target:
    return language_model(Transformer([Layer(norm_first=True) for _ in range(2)], tied=True))


def gradient_checkpointing() -> Target:
    layers = [Layer(norm_first=True) for _ in range(3)]
    return language_model(Transformer(layers, checkpointed=True))


class TopOneExperts(nn.Module):
    """Each word goes to one of eight experts, scaled by its gate; some experts get no word."""

    def __init__(self, num_experts: int = 8) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, num_experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
            for _ in range(num_experts)
        )

    def forward(self, x: Tensor) -> Tensor:  # (batch, time, width) -> (batch, time, width)
        gate, choice = self.router(x).softmax(-1).max(-1)
        mixed = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            chosen = choice == number
            if chosen.any():
                mixed[chosen] = gate[chosen][:, None] * expert(x[chosen])
        return mixed


def mixture_of_experts() -> Target:
    layers = [Layer(norm_first=True, feed_forward=TopOneExperts()) for _ in range(2)]
    return language_model(Transformer(layers))


class Trunk(nn.Module):
    """The mean of what a transformer without a head says about each word."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Transformer([Layer(norm_first=True) for _ in range(2)])
        self.body.head = nn.Identity()  # type: ignore[assignment]

    def forward(self, words: Tensor) -> Tensor:  # (batch, time) -> (batch, width)
        return self.body(words).mean(1)


class FrozenTrunk(nn.Module):
    """A frozen trunk that stays in eval mode, and a head that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk().requires_grad_(False)
        self.head = nn.Linear(WIDTH, 3)

    def train(self, mode: bool = True) -> FrozenTrunk:
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, words: Tensor) -> Tensor:  # (batch, time) -> (batch, 3)
        with torch.no_grad():
            features = self.trunk(words)
        return self.head(features)


def topics() -> tuple[Tensor, Tensor]:
    words, labels = text(), torch.arange(96) % 3
    own = 1 + 10 * labels[:, None] + words % 10
    return torch.where(torch.rand(words.shape) < 0.5, own, words), labels


def frozen_trunk() -> Target:
    model = FrozenTrunk()
    return {
        "model": model,
        "loader": batches(*topics(), size=12),
        "optimizer": torch.optim.AdamW(model.head.parameters(), lr=1e-2),
        "loss_fn": nn.CrossEntropyLoss(),
    }


class LowRank(nn.Module):
    """A frozen linear layer and a trainable low-rank update whose second factor starts at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / rank)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:  # (..., in) -> (..., out)
        return self.base(x) + x @ self.lora_a.T @ self.lora_b.T


def lora_adapter() -> Target:
    """Adapters in the attention of a frozen model: only they and the head are trained."""
    model = Transformer([Layer(norm_first=True) for _ in range(2)]).requires_grad_(False)
    for layer in model.layers:
        layer.qkv = LowRank(layer.qkv)
        layer.out = LowRank(layer.out)
    model.head.requires_grad_(True)
    trainable: list[Any] = [p for p in model.parameters() if p.requires_grad]
    return language_model(model) | {"optimizer": torch.optim.AdamW(trainable, lr=3e-3)}


def bf16_weights() -> Target:
    """Weights in bfloat16, the loss in float32, and a rate that their coarse grid can follow."""
    model = Transformer([Layer(norm_first=True) for _ in range(2)]).bfloat16()

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return next_word_loss(outputs.float(), targets)

    return language_model(model) | {"loss_fn": loss_fn}


SPECIMENS = stable(
    "sequence",
    rnn_classifier,
    gru_language_model,
    lstm_tagger,
    transformer_pre_norm,
    transformer_post_norm,
    tied_weights,
    gradient_checkpointing,
    mixture_of_experts,
    frozen_trunk,
    lora_adapter,
    bf16_weights,
    quick=(
        lstm_tagger,
        tied_weights,
        mixture_of_experts,
        frozen_trunk,
        lora_adapter,
    ),
)
